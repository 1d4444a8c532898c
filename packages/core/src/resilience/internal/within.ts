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

/** Who waits, for how long by `clock`, and what it is told then. */
export interface Limit<E, A = never> {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  readonly millis: number
  readonly onTimeout: () => Effect.Effect<A, E>
}

/** Takes over work whose time is over. */
export type TakeOver<A, E> = (work: Fiber.Fiber<A, E>) => void

/** Time limits that share a timer. */
export interface Limiter {
  /** Runs `self` until the limit. Then it is interrupted, unless there is somebody to take it over. */
  readonly within: <A, E, E2, A2 = never>(
    self: Effect.Effect<A, E>,
    limit: Limit<E2, A2>,
    takeOver?: TakeOver<A, E>
  ) => Effect.Effect<A | A2, E | E2>
  /**
   * `Effect.callback` until the limit, for work that has no fiber of the caller's. `register` starts it or joins it, and returns how to
   * let go of it, at the limit or on interruption. What it resumes with afterwards is ignored.
   */
  readonly callback: <A, E, E2>(
    register: (resume: (effect: Effect.Effect<A, E>) => void) => () => void,
    limit: Limit<E2>
  ) => Effect.Effect<A, E | E2>
}

/** Limits made by one limiter share a timer. */
export const makeLimiter = (): Limiter => {
  let timers: TimerQueue | undefined
  const timersOf = ({ clock, fiber }: Limit<unknown, unknown>): TimerQueue => {
    if (timers === undefined || timers.clock !== clock) timers = new TimerQueue(clock, fiber.context)
    return timers
  }
  return {
    within: <A, E, E2, A2>(self: Effect.Effect<A, E>, limit: Limit<E2, A2>, takeOver?: TakeOver<A, E>) =>
      Effect.callback<A | A2, E | E2>((resume) => {
        const work = Effect.runForkWith(limit.fiber.context)(self)
        const done = work.pollUnsafe()
        if (done !== undefined) return resume(done)
        const queue = timersOf(limit)
        const timer = queue.add(limit.millis, () => {
          // Before anybody is told: who is told may ask what became of it.
          takeOver?.(work)
          resume(limit.onTimeout())
          if (takeOver === undefined) work.interruptUnsafe()
        })
        work.addObserver((exit) => {
          queue.remove(timer)
          resume(exit)
        })
        return Fiber.interrupt(work)
      }),
    callback: <A, E, E2>(register: (resume: (effect: Effect.Effect<A, E>) => void) => () => void, limit: Limit<E2>) =>
      Effect.callback<A, E | E2>((resume) => {
        const queue = timersOf(limit)
        const timer = queue.add(limit.millis, () => {
          resume(limit.onTimeout())
          letGo()
        })
        const letGo = register((effect) => {
          queue.remove(timer)
          resume(effect)
        })
        return Effect.sync(() => {
          queue.remove(timer)
          letGo()
        })
      })
  }
}
