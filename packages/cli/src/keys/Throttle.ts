/**
 * Token buckets by name, in memory: each name may do so much at once, and so much a second after that.
 *
 * Effect's `RateLimiter` in memory never forgets a name. Here the names are chosen by anybody who sends a request, so a full bucket, which says
 * nothing, is removed, and the number of buckets is limited.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Duration, Effect } from "effect"

/** The rate of each name. */
export interface Rate {
  /** How many at once, after a pause. */
  readonly burst: number
  /** How long it takes until that many are free again. */
  readonly per: Duration.Input
}

interface Bucket {
  /** How much of the burst was in use. */
  readonly used: number
  /** When that was, in monotonic milliseconds. */
  readonly at: number
}

/** A limit for each name. */
export interface Throttle {
  /** Takes one. Returns nothing, or how long to wait until one is free. */
  readonly take: (name: string) => Effect.Effect<Duration.Duration | undefined>
  /** How long to wait until one is free; nothing if there is one. Takes none. */
  readonly wait: (name: string) => Effect.Effect<Duration.Duration | undefined>
  /** How many names it remembers. */
  readonly size: () => number
}

/** Makes a throttle that remembers at most `capacity` names. Beyond that it forgets those that asked least recently. */
export const make = ({ burst, per }: Rate, capacity = 50_000): Throttle => {
  const perMilli = burst / Duration.toMillis(Duration.fromInputUnsafe(per))
  const buckets = new Map<string, Bucket>()

  const usedNow = ({ at, used }: Bucket, now: number): number => Math.max(0, used - (now - at) * perMilli)

  const makeRoom = (now: number) => {
    for (const [name, bucket] of buckets) if (usedNow(bucket, now) === 0) buckets.delete(name)
    // Room for many, so that the next sweep is far off.
    for (const name of buckets.keys()) {
      if (buckets.size <= capacity / 2) return
      buckets.delete(name)
    }
  }

  const waitFor = (used: number) =>
    used + 1 <= burst ? undefined : Duration.millis(Math.max(1, Math.ceil((used + 1 - burst) / perMilli)))

  return {
    take: (name) =>
      Effect.map(MonotonicClock.millis, (now) => {
        const bucket = buckets.get(name)
        const used = bucket === undefined ? 0 : usedNow(bucket, now)
        const wait = waitFor(used)
        if (wait !== undefined) return wait
        if (bucket === undefined && buckets.size >= capacity) makeRoom(now)
        // At the end of the map, where it is forgotten last.
        buckets.delete(name)
        buckets.set(name, { used: used + 1, at: now })
        return undefined
      }),
    wait: (name) =>
      Effect.map(MonotonicClock.millis, (now) => {
        const bucket = buckets.get(name)
        return bucket === undefined ? undefined : waitFor(usedNow(bucket, now))
      }),
    size: () => buckets.size
  }
}
