import { DeadlineExceeded, Resilience } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Exit, Fiber, Scheduler, Stream } from "effect"
import { TestClock } from "effect/testing"
import { assertSame, id, ready, scripted, settle, timed } from "./script.ts"

const exceeded = (message: string, timeout: number, sent: boolean) =>
  new DeadlineExceeded({ message, timeout: Duration.millis(timeout), sent })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(timed(effect), { startImmediately: true })

/** Answers by `options.deadline`, less `early` milliseconds, and by itself. */
const keeper = (early = 0) => {
  const deadlines: Array<number | undefined> = []
  const accounts = Resilience.keepsDeadlines({
    refresh: (_, options) =>
      Effect.gen(function* () {
        const at = options?.deadline?.epochMilliseconds
        deadlines.push(at)
        if (at === undefined) return ready
        yield* Effect.sleep(at - early - (yield* Clock.currentTimeMillis))
        return yield* exceeded("the keeper's own", 0, false)
      }),
    get: () => Effect.never
  })
  return { accounts, deadlines }
}

describe.each([
  ["deadline", Resilience.deadline],
  ["attempt-timeout", Resilience.attemptTimeout]
] as const)("%s around one who keeps deadlines", (name, policy) => {
  it.effect("gets the deadline, and its late error is replaced", () =>
    Effect.gen(function* () {
      const { accounts, deadlines } = keeper()
      const limited = yield* policy("5 seconds").make(accounts)
      const { at, exit } = yield* settle(limited.refresh(id))
      assert.strictEqual(at, 5_000)
      assertSame(exit, Exit.fail(exceeded(`No answer within 5000 ms (${name})`, 5_000, false)))
      assert.deepStrictEqual(deadlines, [5_000])
    })
  )

  it.effect("publishes that the deadline passed", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const limited = yield* policy("5 seconds").make(keeper().accounts)
      const events = yield* Effect.forkChild(Stream.runCollect(Stream.take(bus?.stream ?? Stream.empty, 1)), {
        startImmediately: true
      })
      yield* settle(limited.refresh(id))
      const event = { _tag: "DeadlinePassed" as const, accountId: id, policy: name, timeout: 5_000 }
      assert.deepStrictEqual(yield* Fiber.join(events), [event])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it.effect("leaves an earlier deadline's failure as it is", () =>
    Effect.gen(function* () {
      const limited = yield* policy("5 seconds").make(keeper(1).accounts)
      const { at, exit } = yield* settle(limited.refresh(id))
      assert.strictEqual(at, 4_999)
      assertSame(exit, Exit.fail(exceeded("the keeper's own", 0, false)))
    })
  )

  it.effect("does not hold for a decorator of it", () =>
    Effect.gen(function* () {
      const decorated = { ...keeper().accounts, refresh: () => Effect.never }
      const limited = yield* policy("5 seconds").make(decorated)
      assert.strictEqual((yield* settle(limited.refresh(id))).at, 5_000)
    })
  )

  it.effect("reads are limited all the same", () =>
    Effect.gen(function* () {
      const limited = yield* policy("5 seconds").make(keeper().accounts)
      assert.strictEqual((yield* settle(limited.get(id))).at, 5_000)
    })
  )
})

describe("coalesce keeps deadlines:", () => {
  it.effect("a caller is answered at its own deadline, and the flight continues for the others", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 3_000, answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* TestClock.adjust(500)
      const hasty = yield* start(accounts.refresh(id, { deadline: DateTime.makeUnsafe(1_500) }))
      const patient = yield* start(accounts.refresh(id))
      yield* TestClock.adjust("1 hour")
      const message = "No answer within 1000 ms (the caller's deadline)"
      assertSame(yield* Fiber.join(hasty), { exit: Exit.fail(exceeded(message, 1_000, true)), at: 1_500 })
      assertSame(yield* Fiber.join(patient), { exit: Exit.succeed(ready), at: 3_500 })
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("an interrupted caller leaves no timer, and the flight continues", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 3_000, answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const deadline = DateTime.makeUnsafe(5_000)
      const leaving = yield* start(accounts.refresh(id, { deadline }))
      const staying = yield* start(accounts.refresh(id, { deadline }))
      yield* Fiber.interrupt(leaving)
      yield* TestClock.adjust("1 hour")
      assertSame(yield* Fiber.join(staying), { exit: Exit.succeed(ready), at: 3_000 })
    })
  )

  it.effect("nothing is sent for a caller whose deadline has passed", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* TestClock.adjust(1_000)
      const { exit } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(1_000) }))
      assertSame(exit, Exit.fail(exceeded("No answer within 0 ms (the caller's deadline)", 0, false)))
      assert.strictEqual(script.sends.length, 0)
    })
  )

  it.effect("a caller with coalesce: false is answered at its deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang", stubborn: true }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* TestClock.adjust(500)
      const alone = accounts
        .refresh(id, { deadline: DateTime.makeUnsafe(1_500) })
        .pipe(Effect.provideService(Resilience.Settings, { coalesce: false }))
      const message = "No answer within 1000 ms (the caller's deadline)"
      assertSame(yield* settle(alone), { exit: Exit.fail(exceeded(message, 1_000, true)), at: 1_500 })
    })
  )
})

describe("a limiter's callback", () => {
  const limited = (register: (resume: (effect: Effect.Effect<string>) => void) => () => void) =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      return Resilience.makeLimiter().callback(register, {
        fiber,
        clock,
        millis: 100,
        onTimeout: () => Effect.fail("late")
      })
    })

  it.effect("abandons the work at the limit, once, and ignores its result", () =>
    Effect.gen(function* () {
      let letGo = 0
      const { at, exit } = yield* settle(
        limited((resume) => () => {
          letGo++
          resume(Effect.succeed("too late"))
        })
      )
      assertSame(exit, Exit.fail("late"))
      assert.strictEqual(at, 100)
      assert.strictEqual(letGo, 1)
    })
  )

  /** Each fiber yields before its first operation. */
  class YieldsFirst extends Scheduler.MixedScheduler {
    readonly #begun = new WeakSet<object>()
    override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
      if (this.#begun.has(fiber)) return super.shouldYield(fiber)
      this.#begun.add(fiber)
      return true
    }
  }

  it.effect("measures its time from its start, however soon its fibers yield", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const order: Array<string> = []
      const sleep = (duration: Duration.Duration) =>
        Effect.suspend(() => {
          order.push("sleeps")
          return clock.sleep(duration)
        })
      const waiting = limited(() => {
        order.push("the work begins")
        return () => {}
      }).pipe(
        Effect.provideService(Clock.Clock, { ...clock, sleep }),
        Effect.provideService(Scheduler.Scheduler, new YieldsFirst())
      )
      yield* settle(waiting)
      assert.deepStrictEqual(order, ["sleeps", "the work begins"])
    })
  )

  it.effect("abandons the work if the caller is interrupted", () =>
    Effect.gen(function* () {
      let letGo = 0
      const fiber = yield* start(limited(() => () => letGo++))
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(letGo, 1)
    })
  )

  it.effect("returns a synchronous answer", () =>
    Effect.gen(function* () {
      let letGo = 0
      const { at, exit } = yield* settle(
        limited((resume) => {
          resume(Effect.succeed("now"))
          return () => letGo++
        })
      )
      assertSame({ at, exit }, { at: 0, exit: Exit.succeed("now") })
      assert.strictEqual(letGo, 0)
    })
  )
})
