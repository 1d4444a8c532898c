/**
 * Many timeouts in one queue, with one sleeping fiber.
 *
 * Every call has a timeout, and nearly all calls end long before it. A fiber and a system timer for each would cost more than the rest of
 * the pipeline. Calls of one policy mostly have the same timeout, so a linked list sorted by time inserts nearly always at its tail. One
 * fiber sleeps until the time of its head. With an empty queue no fiber sleeps, so it keeps no process alive. It uses the monotonic clock,
 * so that a wall clock that is set back makes no caller wait longer.
 *
 * **Gotchas**
 *
 * After a process was stopped, or its event loop was blocked, timers are due and sockets have unread answers. Event loops run timers before they read
 * sockets, so a timer that fires at once would discard an answer that has arrived. A queue that wakes late therefore sleeps once more, until the
 * answers have been read, and fires only when it wakes on time.
 *
 * @module
 */
import { type Clock, Context, Effect, type Fiber, Scheduler } from "effect"

/** A queue that wakes later than this, in microseconds, was stalled. A busy event loop stays well below. */
const lateAfter = 50_000
/** The time for reading sockets after a stall, in microseconds. The event loop polls every socket at least once in it. */
const readingTime = 50_000
/** An event loop that is late this often in a row is overloaded and not stalled. It has read its sockets each time. */
const mostReadings = 8

export class Timer {
  /** Microseconds of the monotonic clock. */
  readonly at: number
  readonly fire: () => void
  before: Timer | undefined = undefined
  after: Timer | undefined = undefined

  constructor(at: number, fire: () => void) {
    this.at = at
    this.fire = fire
  }
}

export class TimerQueue {
  readonly #clock: Clock.Clock
  readonly #dispatcher: Scheduler.SchedulerDispatcher
  readonly #run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  #head: Timer | undefined = undefined
  #tail: Timer | undefined = undefined
  #sleeper: Fiber.Fiber<void> | undefined = undefined
  #wakesAt = Infinity
  /** After a stall, no timer fires before this time. */
  #readingUntil = 0
  #readings = 0
  #isStopping = false

  /** `context` is the context of the sleeping fiber. Its clock is `clock`. */
  constructor(clock: Clock.Clock, context: Context.Context<never>) {
    this.#clock = clock
    this.#dispatcher = Context.get(context, Scheduler.Scheduler).makeDispatcher()
    // It sleeps at once. Whatever came between the reading of the clock and the sleep would be added to every timeout.
    this.#run = Effect.runForkWith(Context.add(context, Scheduler.PreventSchedulerYield, true))
  }

  get clock(): Clock.Clock {
    return this.#clock
  }

  /** Calls `fire` once after `millis`, unless the timer is removed before. */
  add(millis: number, fire: () => void): Timer {
    const at = this.#now() + millis * 1_000
    const timer = new Timer(at, fire)
    let earlier = this.#tail
    while (earlier !== undefined && earlier.at > at) earlier = earlier.before
    const later = earlier === undefined ? this.#head : earlier.after
    timer.before = earlier
    timer.after = later
    if (earlier === undefined) this.#head = timer
    else earlier.after = timer
    if (later === undefined) this.#tail = timer
    else later.before = timer
    const wakeAt = Math.max(at, this.#readingUntil)
    if (wakeAt < this.#wakesAt) this.#sleepUntil(wakeAt)
    return timer
  }

  /** Removes a timer. It does nothing for one that has fired or was removed. */
  remove(timer: Timer): void {
    const { after, before } = timer
    if (before === undefined && this.#head !== timer) return
    timer.before = timer.after = undefined
    if (before === undefined) this.#head = after
    else before.after = after
    if (after === undefined) this.#tail = before
    else after.before = before
    if (this.#head === undefined && this.#sleeper !== undefined) this.#stopIfIdle()
  }

  /** Deferred, because a caller that makes one call after another adds its next timer soon. */
  #stopIfIdle(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#dispatcher.scheduleTask(() => {
      this.#isStopping = false
      if (this.#head !== undefined) return
      this.#readings = 0
      this.#stop()
    }, 0)
  }

  #stop(): void {
    const sleeper = this.#sleeper
    this.#sleeper = undefined
    this.#wakesAt = Infinity
    sleeper?.interruptUnsafe()
  }

  #sleepUntil(at: number): void {
    this.#stop()
    this.#wakesAt = at
    this.#sleeper = this.#run(Effect.map(Effect.sleep(Math.max(0, (at - this.#now()) / 1_000)), () => this.#wake()))
  }

  #now(): number {
    return Math.round(Number(this.#clock.monotonicTimeNanosUnsafe()) / 1_000)
  }

  #wake(): void {
    const now = this.#now()
    const late = now - this.#wakesAt
    this.#sleeper = undefined
    this.#wakesAt = Infinity
    if (late > lateAfter && this.#readings < mostReadings) {
      this.#readings++
      this.#readingUntil = now + readingTime
      return this.#sleepUntil(this.#readingUntil)
    }
    this.#readings = 0
    let head = this.#head
    while (head !== undefined && head.at <= now) {
      const { fire } = head
      this.remove(head)
      fire()
      head = this.#head
    }
    if (head !== undefined && head.at < this.#wakesAt) this.#sleepUntil(head.at)
  }
}
