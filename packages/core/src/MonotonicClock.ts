/**
 * Time that no correction of the wall clock moves, for how long something took, lasts or has to wait.
 *
 * A wall clock is set back by a correction, a restored machine or a person. What is to last for a minute would then last for an hour and a
 * minute, if its end were a time of day: a circuit stays open, a limit stays exhausted, a cache stays fresh.
 *
 * **Gotchas**
 *
 * - Its zero is arbitrary, and another one in each process. Never store a monotonic time.
 * - It stands still while the machine sleeps.
 *
 * @module
 */
import { Clock, Effect } from "effect"

/** The monotonic time of `clock`, in whole milliseconds. */
export const millisUnsafe = (clock: Clock.Clock): number =>
  Math.floor(Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000)

/** The monotonic time, in whole milliseconds. */
export const millis: Effect.Effect<number> = Effect.map(Clock.Clock, millisUnsafe)

const steady = new WeakMap<Clock.Clock, Clock.Clock>()

const steadyOf = (clock: Clock.Clock): Clock.Clock => {
  const known = steady.get(clock)
  if (known !== undefined) return known
  const currentTimeMillisUnsafe = () => millisUnsafe(clock)
  const monotonicTimeNanosUnsafe = () => clock.monotonicTimeNanosUnsafe()
  const made: Clock.Clock = {
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanosUnsafe: monotonicTimeNanosUnsafe,
    currentTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe,
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  steady.set(clock, made)
  return made
}

/**
 * Runs `self` on a clock whose time of day is the monotonic time. It is for modules that measure how long something lasts by the time of day, as
 * Effect's rate limiter and circuit breaker do in memory.
 *
 * **Gotchas**
 *
 * - `self` must not ask for the date, nor keep a time where another process reads it.
 * - Whatever `self` starts has this clock too. Every use of the module's state needs it: a time of one clock means nothing on the other.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { MonotonicClock } from "@rekindle/core"
 * import { Effect } from "effect"
 * import { RateLimiter } from "effect/persistence"
 *
 * const program = Effect.gen(function* () {
 *   const limiter = yield* RateLimiter.make
 *   // Full again after a second, also if the wall clock is set back by an hour meanwhile.
 *   return yield* MonotonicClock.within(limiter.consume({ key: "mail", limit: 10, window: "1 second" }))
 * }).pipe(Effect.provide(RateLimiter.layerStoreMemory))
 *
 * assert.equal((await Effect.runPromise(program)).remaining, 9)
 * ```
 */
export const within = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => Effect.provideService(self, Clock.Clock, steadyOf(fiber.getRef(Clock.Clock))))
