/**
 * Time limits as the policies of core have them: many share one timer, and what does not listen is left behind.
 *
 * A renewal has five of them, and nearly none is ever reached. `Effect.timeout` races two fibers and a system timer for each, and waits
 * until what it interrupted has come to its end.
 *
 * @module
 */
import { Resilience } from "@rekindle/core"
import { Clock, Duration, Effect, type Fiber } from "effect"

/** Runs `self` for at most `duration`, and `orElse` if it takes longer. Then `self` is interrupted, unless somebody takes it over. */
export type TimeLimit = <A, E, A2, E2>(
  self: Effect.Effect<A, E>,
  duration: Duration.Duration,
  orElse: () => Effect.Effect<A2, E2>,
  takeOver?: (work: Fiber.Fiber<A, E>) => void
) => Effect.Effect<A | A2, E | E2>

/** For limits of one length, mostly: their timers are then in order already. */
export const makeTimeLimit = (): TimeLimit => {
  const limiter = Resilience.makeLimiter()
  return (self, duration, orElse, takeOver) =>
    Effect.withFiber((fiber) =>
      limiter.within(
        self,
        {
          fiber,
          clock: fiber.getRef(Clock.Clock),
          millis: Duration.toMillis(duration),
          onTimeout: orElse
        },
        takeOver
      )
    )
}

/** Time that no correction of the clock moves: for how long something has been waited for. */
export const monotonicMillis = Effect.map(Clock.Clock, (clock) => monotonicMillisUnsafe(clock))

/** The same, at once. */
export const monotonicMillisUnsafe = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
