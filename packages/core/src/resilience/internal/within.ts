/**
 * A timeout that keeps its word even when the work does not listen.
 *
 * `Effect.timeout` waits for the work to acknowledge its interruption, so an uninterruptible provider would hold a caller past its
 * deadline. Here the work is interrupted and left behind. An interrupted caller still waits for the work to wind down. The work runs
 * in a fiber of its own and can be interrupted even when its caller cannot, as inside a detached flight.
 *
 * @module
 */
import { type Clock, Effect, Fiber } from "effect"
import { TimerQueue } from "./TimerQueue.ts"

export interface Limiter {
  /** Runs `self` until `at` (epoch milliseconds by `clock`), then answers with `onTimeout`. */
  readonly within: <A, E, E2>(
    self: Effect.Effect<A, E>,
    fiber: Fiber.Fiber<unknown, unknown>,
    clock: Clock.Clock,
    at: number,
    onTimeout: () => Effect.Effect<never, E2>
  ) => Effect.Effect<A, E | E2>
}

export const makeLimiter = (): Limiter => {
  let timers: TimerQueue | undefined
  return {
    within: <A, E, E2>(
      self: Effect.Effect<A, E>,
      fiber: Fiber.Fiber<unknown, unknown>,
      clock: Clock.Clock,
      at: number,
      onTimeout: () => Effect.Effect<never, E2>
    ) =>
      Effect.callback<A, E | E2>((resume) => {
        const work = Effect.runForkWith(fiber.context)(self)
        const done = work.pollUnsafe()
        if (done !== undefined) return resume(done)
        if (timers === undefined || timers.clock !== clock) timers = new TimerQueue(clock, fiber.context)
        const queue = timers
        const timer = queue.add(at, () => {
          resume(onTimeout())
          work.interruptUnsafe()
        })
        work.addObserver((exit) => {
          queue.remove(timer)
          resume(exit)
        })
        return Fiber.interrupt(work)
      })
  }
}
