/**
 * The common implementation of the overall deadline and the attempt timeout, which differ only in their place in the pipeline.
 *
 * @module
 */
import { Clock, DateTime, Duration, Effect, type Fiber } from "effect"
import type { ConnectedAccountId } from "../../ConnectedAccount.ts"
import { DeadlineExceeded } from "../../RefreshError.ts"
import { Events } from "../Events.ts"
import { type Policy, policy } from "../Policy.ts"
import { Settings } from "../Settings.ts"
import { maybeSent, withCall } from "./Call.ts"
import { declaresDeadlines } from "./keepsDeadlines.ts"
import { makeLimiter } from "./Limiter.ts"

export const timeLimit = (
  name: "deadline" | "attempt-timeout",
  setting: "timeout" | "attemptTimeout",
  timeout: Duration.Input
): Policy => {
  const standard = Duration.toMillis(timeout)
  const millisFor = (fiber: Fiber.Fiber<unknown, unknown>): number => {
    const own = fiber.getRef(Settings)[setting]
    return own === undefined ? standard : Duration.toMillis(own)
  }
  return policy(name, { timeout: standard }, (next) =>
    Effect.map(Events, (events) => {
      const exceeded = (id: ConnectedAccountId, millis: number, sent: boolean) => {
        events?.publish({ _tag: "DeadlinePassed", accountId: id, policy: name, timeout: millis })
        return new DeadlineExceeded({
          message: `No answer within ${millis} ms (${name})`,
          timeout: Duration.millis(millis),
          sent
        })
      }
      const limiter = makeLimiter()
      // Calls of the same millisecond have the same deadline.
      let latest = DateTime.makeUnsafe(0)
      const instant = (at: number): DateTime.Utc =>
        latest.epochMilliseconds === at ? latest : (latest = DateTime.makeUnsafe(at))
      const kept = declaresDeadlines(next)
      return {
        refresh: (id, options) =>
          Effect.withFiber((fiber) => {
            const clock = fiber.getRef(Clock.Clock)
            const now = clock.currentTimeMillisUnsafe()
            const left = options?.deadline === undefined ? Infinity : options.deadline.epochMilliseconds - now
            const millis = Math.min(millisFor(fiber), left)
            if (millis <= 0) return exceeded(id, 0, false)
            if (millis === Infinity) return next.refresh(id, options)
            const at = now + millis
            const limited = millis === left ? options : { ...options, deadline: instant(at) }
            if (kept) {
              return Effect.mapError(next.refresh(id, limited), (error) =>
                // The error of another limit below passes unchanged.
                error._tag === "DeadlineExceeded" && clock.currentTimeMillisUnsafe() >= at
                  ? exceeded(id, millis, error.sent)
                  : error
              )
            }
            return withCall((call) => {
              const onTimeout = () => exceeded(id, millis, maybeSent(call))
              return limiter.run(next.refresh(id, limited), { fiber, clock, millis, onTimeout })
            })
          }),
        get: (id) =>
          Effect.withFiber((fiber) => {
            const millis = millisFor(fiber)
            if (millis === Infinity) return next.get(id)
            return limiter.run(next.get(id), {
              fiber,
              clock: fiber.getRef(Clock.Clock),
              millis,
              onTimeout: () => exceeded(id, millis, true)
            })
          })
      }
    })
  )
}
