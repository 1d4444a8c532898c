/**
 * A timeout that also works for uninterruptible work.
 *
 * `Effect.timeout` waits until the interrupted work has ended, so an uninterruptible provider would hold a caller past its deadline. Here the work is
 * interrupted and not awaited. A caller that is interrupted itself still waits for the work to end. The work runs in its own fiber, so it can be
 * interrupted even if its caller cannot, as inside a detached flight.
 *
 * @module
 */
import { type Clock, Effect, Fiber } from "effect"
import { TimerQueue } from "./TimerQueue.ts"

/** The waiting fiber, the time by `clock`, and the result after it. */
export interface Limit<E, A = never> {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly clock: Clock.Clock
  readonly millis: number
  readonly onTimeout: () => Effect.Effect<A, E>
}

/** Takes over the work when its time is over. */
export type TakeOver<A, E> = (work: Fiber.Fiber<A, E>) => void

/** Time limits that share a timer. */
export interface Limiter {
  /** Runs `self` until the limit. Then it is interrupted, unless `takeOver` is given. */
  readonly run: <A, E, E2, A2 = never>(
    self: Effect.Effect<A, E>,
    limit: Limit<E2, A2>,
    takeOver?: TakeOver<A, E>
  ) => Effect.Effect<A | A2, E | E2>
  /**
   * `Effect.callback` with a limit, for work that does not run in a fiber of the caller. `register` starts or joins the work, and returns a
   * function that abandons it, at the limit or on interruption. A later result is ignored.
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
    run: <A, E, E2, A2>(self: Effect.Effect<A, E>, limit: Limit<E2, A2>, takeOver?: TakeOver<A, E>) =>
      Effect.callback<A | A2, E | E2>((resume) => {
        const work = Effect.runForkWith(limit.fiber.context)(self)
        const done = work.pollUnsafe()
        if (done !== undefined) return resume(done)
        const queue = timersOf(limit)
        const timer = queue.add(limit.millis, () => {
          // First, because the caller may ask about the work once it is resumed.
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
