/**
 * A map whose entries expire, for up to millions of accounts.
 *
 * It has no timer. Expired entries are swept whenever the map has doubled: amortised O(1), and the map holds at most about twice its live entries.
 *
 * @module
 */

/** An entry that expires at `until`, in milliseconds of the clock of its map. `until` may be moved later. */
export interface Expiring {
  until: number
}

/** A map whose expired entries read as absent. */
export class ExpiringMap<V extends Expiring> {
  readonly #entries = new Map<string, V>()
  readonly #least: number
  #lookAt: number

  /** `least`: the size up to which nothing is swept. */
  constructor(least = 1_024) {
    this.#least = this.#lookAt = least
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string, now: number): V | undefined {
    const entry = this.#entries.get(key)
    return entry === undefined || entry.until <= now ? undefined : entry
  }

  set(key: string, entry: V, now: number): void {
    if (this.#entries.size >= this.#lookAt) {
      for (const [key, { until }] of this.#entries) if (until <= now) this.#entries.delete(key)
      this.#lookAt = Math.max(this.#least, 2 * this.#entries.size)
    }
    this.#entries.set(key, entry)
  }
}
