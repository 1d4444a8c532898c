/**
 * Many timeouts, one sleeping fiber.
 *
 * A pipeline gives every call a timeout and nearly every call ends long before it. A fiber and a system timer for each would cost more
 * than the rest of the pipeline. Calls of one policy mostly have the same timeout, so their instants come in order: a linked list
 * sorted by instant takes each at its tail, and a single fiber sleeps until its head. An empty queue sleeps nowhere, so it keeps no
 * process alive. It goes by the monotonic clock: a wall clock that is set back must not make anybody wait longer.
 *
 * **Gotchas**
 *
 * A process that was stopped, or whose event loop was blocked, finds its timers due and its sockets full. Event loops run timers before
 * they read sockets, so firing at once would throw away answers that have arrived. A queue that wakes late sleeps once more, for long
 * enough that everything that has arrived is read, and fires only when it wakes on time.
 *
 * @module
 */
import { type Clock, type Context, Effect, type Fiber } from "effect"

/** Waking later than this, in microseconds, means that the process was stalled. A busy event loop stays well below. */
const lateAfter = 50_000
/** How long input gets to be read after a stall. The event loop polls every socket at least once in that time. */
const readingTime = 50_000
/** An event loop that is late this often in a row is overloaded, not stalled, and has read its sockets each time. */
const mostReadings = 8

export class Timer {
  /** In microseconds of the monotonic clock. */
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
  readonly #run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  #head: Timer | undefined = undefined
  #tail: Timer | undefined = undefined
  #sleeper: Fiber.Fiber<void> | undefined = undefined
  #wakesAt = Infinity
  /** After a stall: nothing fires before. */
  #readingUntil = 0
  #readings = 0

  /** `context` is where the sleeping fiber runs; its clock is the queue's clock. */
  constructor(clock: Clock.Clock, context: Context.Context<never>) {
    this.#clock = clock
    this.#run = Effect.runForkWith(context)
  }

  get clock(): Clock.Clock {
    return this.#clock
  }

  /** Calls `fire` once after so many milliseconds unless removed before. */
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

  /** Removing a timer that has fired, or was removed, does nothing. */
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

  /** Not at once: a caller that makes one call after another adds its next timer before this turn is over. */
  #stopIfIdle(): void {
    queueMicrotask(() => {
      if (this.#head !== undefined) return
      this.#readings = 0
      this.#stop()
    })
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
