/**
 * Time limits as the policies of core have them: many share one timer, and what does not listen is left behind.
 *
 * A renewal has five of them, and nearly none is ever reached. `Effect.timeout` races two fibers and a system timer for each, and waits
 * until what it interrupted has come to its end.
 *
 * @module
 */
import { Resilience } from "@rekindle/core"
import { Clock, Duration, Effect } from "effect"

/** Runs `self` for at most `duration`, and `orElse` if it takes longer. */
export type TimeLimit = <A, E, A2, E2>(
  self: Effect.Effect<A, E>,
  duration: Duration.Duration,
  orElse: () => Effect.Effect<A2, E2>
) => Effect.Effect<A | A2, E | E2>

/** For limits of one length, mostly: their timers are then in order already. */
export const makeTimeLimit = (): TimeLimit => {
  const limiter = Resilience.makeLimiter()
  return (self, duration, orElse) =>
    Effect.withFiber((fiber) =>
      limiter.within(self, {
        fiber,
        clock: fiber.getRef(Clock.Clock),
        millis: Duration.toMillis(duration),
        onTimeout: orElse
      })
    )
}

/** Time that no correction of the clock moves: for how long something has been waited for. */
export const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))
