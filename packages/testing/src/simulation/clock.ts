/**
 * The clock of a process. Wall time is the machine's: it can be wrong, and jump. Monotonic time starts somewhere else in each process, and
 * nothing moves it. Sleep is measured on monotonic time.
 *
 * @module
 */
import { type Clock, Duration, Effect } from "effect"
import type { Process } from "./process.ts"
import type { Timer } from "./timers.ts"

/** What a clock needs of its world. */
export interface Time {
  /** Milliseconds since the world began. */
  readonly now: number
  readonly startTimer: (after: number, process: Process, fire: () => void) => Timer
}

/** A machine's wall clock. */
export class WallClock {
  #skew = 0
  #changes = 0

  /** By how much the wall clock is wrong, in milliseconds. */
  get skew(): number {
    return this.#skew
  }

  set skew(millis: number) {
    if (millis === this.#skew) return
    this.#skew = millis
    this.#changes++
  }

  /** How often it was set. Nobody can keep a deadline if the clock that it was read from is set meanwhile. */
  get changes(): number {
    return this.#changes
  }
}

/** When a world begins, by a clock that is right: 2030-01-01T00:00:00Z. */
export const beginning = 1_893_456_000_000

const nanos = (millis: number): bigint => BigInt(Math.round(millis * 1_000_000))

/** Makes the clock of a process. */
export const makeClock = (time: Time, process: Process, wall: WallClock, origin: number): Clock.Clock => {
  const currentTimeMillisUnsafe = () => Math.floor(beginning + time.now + wall.skew)
  const currentTimeNanosUnsafe = () => BigInt(beginning) * 1_000_000n + nanos(time.now + wall.skew)
  const monotonicTimeNanosUnsafe = () => nanos(time.now + origin)
  return {
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanosUnsafe,
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanosUnsafe,
    monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe),
    sleep: (duration) => {
      const millis = Duration.toMillis(duration)
      if (millis <= 0) return Effect.yieldNow
      if (!Number.isFinite(millis)) return Effect.never
      return Effect.callback((resume) => {
        const timer = time.startTimer(millis, process, () => resume(Effect.void))
        return Effect.sync(() => {
          timer.stopped = true
        })
      })
    }
  }
}
