/**
 * A map for what is only worth remembering for a while, one entry for each of perhaps millions of accounts.
 *
 * There is no timer. It looks for what has expired whenever it has doubled, so that the looking costs each entry little and the map
 * holds at most about twice what it has to.
 *
 * @module
 */

/** When it may be forgotten, in epoch milliseconds. It may be put off. */
export interface Expiring {
  until: number
}

/** A map whose entries may be forgotten once their time is over. */
export class ExpiringMap<V extends Expiring> {
  readonly #entries = new Map<string, V>()
  readonly #least: number
  #lookAt: number

  /** `least`: entries that are not worth a look. */
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
