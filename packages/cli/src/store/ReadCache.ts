/**
 * What was read from the database, for a moment, so that each request does not read it again. Callers who ask for the same at once share a
 * read, and a failure is not kept.
 *
 * The moment is measured on the monotonic clock, and not by the `timeToLive` of Effect's cache. If the wall clock is set back by an hour, a
 * key that another process has revoked would pass for an hour otherwise.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Cache, Duration, Effect, Exit, Option } from "effect"

/** How long what was read is used, and how many entries are kept. */
export interface Options {
  readonly freshFor: Duration.Duration
  readonly capacity: number
}

/** Makes a cache of what `read` finds. */
export const make = <Key, A, E, R>(read: (key: Key) => Effect.Effect<A, E, R>, { capacity, freshFor }: Options) =>
  Effect.gen(function* () {
    const stamped = (value: A) =>
      Effect.map(MonotonicClock.millis, (now) => ({ value, until: now + Duration.toMillis(freshFor) }))
    const cache = yield* Cache.makeWith((key: Key) => Effect.flatMap(read(key), stamped), {
      capacity,
      timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
    })
    return {
      get: (key: Key) =>
        Effect.flatMap(MonotonicClock.millis, (now) => {
          const isOver = ({ until }: { readonly until: number }) => until <= now
          return Cache.getSuccess(cache, key).pipe(
            Effect.flatMap((kept) =>
              Option.exists(kept, isOver) ? Cache.invalidateWhen(cache, key, isOver) : Effect.void
            ),
            Effect.andThen(Cache.get(cache, key)),
            Effect.map(({ value }) => value)
          )
        }),
      forget: (key: Key) => Cache.invalidate(cache, key)
    }
  })
