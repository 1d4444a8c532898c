/**
 * Time limits for the engine, on the limiter of core's policies.
 *
 * A renewal has five limits, and they are rarely reached. `Effect.timeout` starts a fiber and a system timer for each, and waits until the
 * interrupted work has ended. Here many limits share one timer, and work that ignores its interruption is not waited for.
 *
 * @module
 */
import { Resilience } from "@rekindle/core"
import { Clock, Duration, Effect, type Fiber } from "effect"

/** Runs `self` for at most `duration`, and then `orElse`. At the limit `self` is passed to `takeOver`, or interrupted if there is none. */
export type TimeLimit = <A, E, A2, E2>(
  self: Effect.Effect<A, E>,
  duration: Duration.Duration,
  orElse: () => Effect.Effect<A2, E2>,
  takeOver?: (work: Fiber.Fiber<A, E>) => void
) => Effect.Effect<A | A2, E | E2>

/** Makes a time limit. It is cheapest if most of its durations are equal, because they then run out in order. */
export const makeTimeLimit = (): TimeLimit => {
  const limiter = Resilience.makeLimiter()
  return (self, duration, orElse, takeOver) =>
    Effect.withFiber((fiber) =>
      limiter.run(
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
