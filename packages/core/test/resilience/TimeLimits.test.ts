import { ConnectedAccountId, DeadlineExceeded, Resilience } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  accountWith,
  boom,
  id,
  otherId,
  ready,
  refused,
  reset,
  assertSame,
  scripted,
  settle,
  timed,
  withDraw
} from "./script.ts"

const exceeded = (name: string, millis: number, sent: boolean) =>
  new DeadlineExceeded({
    message: `No answer within ${millis} ms (${name})`,
    timeout: Duration.millis(millis),
    sent
  })

describe.each([
  ["deadline", Resilience.deadline, "timeout"],
  ["attempt-timeout", Resilience.attemptTimeout, "attemptTimeout"]
] as const)("%s", (name, policy, setting) => {
  it.effect("answers with DeadlineExceeded after the time limit, ambiguous because the request was sent", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const { at, exit } = yield* settle(accounts.refresh(id))
      assertSame(exit, Exit.fail(exceeded(name, 5_000, true)))
      assert.strictEqual(at, 5_000)
      assert.strictEqual(script.sends[0]?.ended, "interrupted")
    })
  )

  it.effect("answers on time if the wall clock is set back", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let back = 0
      const now = () => clock.currentTimeMillisUnsafe() - back
      const wall: Clock.Clock = { ...clock, currentTimeMillisUnsafe: now, currentTimeMillis: Effect.sync(now) }
      const accounts = yield* policy("5 seconds").make(scripted([{ answer: "hang" }]).accounts)
      const waiting = yield* accounts
        .refresh(id)
        .pipe(Effect.provideService(Clock.Clock, wall), Effect.forkChild({ startImmediately: true }))
      yield* TestClock.adjust("1 second")
      back = 3_600_000
      yield* TestClock.adjust("4 seconds")
      assertSame(waiting.pollUnsafe(), Exit.fail(exceeded(name, 5_000, true)))
    })
  )

  it.effect("does not discard an answer that arrived while the process was stalled", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let stall = 0n
      const now = () => clock.monotonicTimeNanosUnsafe() + stall * 1_000_000n
      const stalling: Clock.Clock = { ...clock, monotonicTimeNanosUnsafe: now, monotonicTimeNanos: Effect.sync(now) }
      const script = scripted([{ takes: 5_020, answer: ready }, { answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const ask = Effect.forkChild(Effect.provideService(accounts.refresh(id), Clock.Clock, stalling), {
        startImmediately: true
      })
      const answered = yield* ask
      const silent = yield* ask
      // The timer is 9 seconds late, and what has arrived meanwhile is read after it.
      stall = 9_000n
      yield* TestClock.adjust(5_020)
      assertSame(answered.pollUnsafe(), Exit.succeed(ready))
      assert.isUndefined(silent.pollUnsafe())
      yield* TestClock.adjust(30)
      assertSame(silent.pollUnsafe(), Exit.fail(exceeded(name, 5_000, true)))
    })
  )

  it.effect("answers on an event loop that is always late", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let lag = 0n
      // Later by 100 ms at each look.
      const now = () => clock.monotonicTimeNanosUnsafe() + 100_000_000n * lag++
      const lagging: Clock.Clock = { ...clock, monotonicTimeNanosUnsafe: now, monotonicTimeNanos: Effect.sync(now) }
      const accounts = yield* policy("5 seconds").make(scripted([{ answer: "hang" }]).accounts)
      const waiting = yield* Effect.forkChild(Effect.provideService(accounts.refresh(id), Clock.Clock, lagging), {
        startImmediately: true
      })
      yield* TestClock.adjust(6_000)
      assertSame(waiting.pollUnsafe(), Exit.fail(exceeded(name, 5_000, true)))
    })
  )

  it.effect("returns an answer that arrives in time, success or failure", () =>
    Effect.gen(function* () {
      const script = scripted([
        { takes: 4_999, answer: ready },
        { takes: 1, answer: boom }
      ])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      assertSame(yield* settle(accounts.refresh(id)), { exit: Exit.succeed(ready), at: 4_999 })
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(boom))
    })
  )

  it.effect("passes the deadline on to inner stages", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      yield* TestClock.adjust(700)
      yield* accounts.refresh(id, { validateCredentials: true })
      assertSame(script.sends[0]?.options, {
        validateCredentials: true,
        deadline: DateTime.makeUnsafe(5_700)
      })
    })
  )

  it.effect("obeys the caller's own deadline if that is earlier", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const deadline = DateTime.makeUnsafe(1_200)
      const { at, exit } = yield* settle(accounts.refresh(id, { deadline }))
      assertSame(exit, Exit.fail(exceeded(name, 1_200, true)))
      assert.strictEqual(at, 1_200)
      assertSame(script.sends[0]?.options, { deadline })
    })
  )

  it.effect("replaces a caller's later deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      yield* accounts.refresh(id, { deadline: DateTime.makeUnsafe(60_000) })
      assertSame(script.sends[0]?.options, { deadline: DateTime.makeUnsafe(5_000) })
    })
  )

  it.effect("sends nothing if the deadline has already passed", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      yield* TestClock.adjust(1_000)
      const error = yield* Effect.flip(accounts.refresh(id, { deadline: DateTime.makeUnsafe(1_000) }))
      assertSame(error, exceeded(name, 0, false))
      assert.strictEqual(script.sends.length, 0)
    })
  )

  it.effect("answers on time even if the provider is uninterruptible", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 60_000, answer: ready, stubborn: true }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const { at, exit } = yield* settle(accounts.refresh(id))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(at, 5_000)
      assert.strictEqual(script.sends[0]?.ended, "answered")
    })
  )

  it.effect("interrupts the work when its caller is interrupted, and starts nothing else", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const fiber = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(script.sends[0]?.ended, "interrupted")
    })
  )

  it.effect("limits each of many calls separately, in whatever order they end", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const waits = [4_000, 1_000, 3_000, 9_000, 2_000, 1_000]
      const fibers = yield* Effect.forEach(waits, (wait) =>
        Effect.forkChild(timed(accounts.refresh(id, { deadline: DateTime.makeUnsafe(wait) })), {
          startImmediately: true
        })
      )
      const gone = fibers[2]
      if (gone !== undefined) yield* Fiber.interrupt(gone)
      yield* TestClock.adjust("1 hour")
      const rest = yield* Effect.forEach(
        fibers.filter((fiber) => fiber !== gone),
        Fiber.join
      )
      assertSame(
        rest.map(({ at }) => at),
        [4_000, 1_000, 5_000, 2_000, 1_000]
      )
    })
  )

  it.effect("leaves no sleeping fiber after its calls have ended", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let asleep = 0
      const watched: Clock.Clock = Object.create(clock, {
        sleep: {
          value: (duration: Duration.Duration) =>
            Effect.suspend(() => {
              asleep++
              return Effect.ensuring(
                clock.sleep(duration),
                Effect.sync(() => void asleep--)
              )
            })
        }
      })
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const calls = [5_000, 1_000, 3_000].map((at) => accounts.refresh(id, { deadline: DateTime.makeUnsafe(at) }))
      const fiber = yield* Effect.forkChild(
        Effect.all(calls, { concurrency: "unbounded" }).pipe(Effect.provideService(Clock.Clock, watched)),
        { startImmediately: true }
      )
      assert.strictEqual(asleep, 4, "three providers and one timer for all of them")
      yield* TestClock.adjust(100)
      yield* Fiber.join(fiber)
      assert.strictEqual(asleep, 0)
    })
  )

  it.effect("limits a call that starts when the last one ends", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }, { answer: "hang" }])
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const { at } = yield* settle(Effect.andThen(accounts.refresh(id), accounts.refresh(id)))
      assert.strictEqual(at, 5_100)
    })
  )

  it.effect("limits reads too", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }], { reads: ["hang", accountWith("ACTIVE", 7)] })
      const accounts = yield* policy("5 seconds").make(script.accounts)
      yield* TestClock.adjust(100)
      const { at, exit } = yield* settle(accounts.get(id))
      assertSame(exit, Exit.fail(exceeded(name, 5_000, true)))
      assert.strictEqual(at, 5_100)
      assertSame(yield* accounts.get(id), accountWith("ACTIVE", 7))
    })
  )

  it.effect("takes its limit from Settings if they are provided", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }], { reads: ["hang"] })
      const accounts = yield* policy("5 seconds").make(script.accounts)
      const impatient = Effect.provideService(Resilience.Settings, { [setting]: "300 millis" })
      assert.strictEqual((yield* settle(impatient(accounts.refresh(id)))).at, 300)
      assert.strictEqual((yield* settle(impatient(accounts.get(id)))).at, 3_600_300)
    })
  )

  it.effect("sets no limit when given none", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 3_000_000, answer: ready }])
      const accounts = yield* policy(Duration.infinity).make(script.accounts)
      assertSame(yield* settle(accounts.refresh(id)), { exit: Exit.succeed(ready), at: 3_000_000 })
      assert.isUndefined(script.sends[0]?.options)
      assertSame(yield* accounts.get(id), script.state.account)
    })
  )

  it("describes itself in milliseconds", () => {
    assert.deepStrictEqual(policy("5 seconds").describe(), [{ policy: name, options: { timeout: 5_000 } }])
  })
})

describe("the disposition of a passed deadline", () => {
  it.effect("is not-sent while a retry waits and no attempt was ambiguous", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.policy("no deadline", {}, (next) =>
          // Retry would not sleep past a deadline it knows of; this one it does not know of.
          Effect.succeed({ ...next, refresh: (id) => next.refresh(id) })
        ),
        Resilience.retry({ baseDelay: "1 minute", maxDelay: "1 minute" })
      )
      const accounts = yield* pipeline.make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.fail(exceeded("deadline", 10_000, false)))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("is ambiguous while a retry waits after an ambiguous attempt", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.policy("no deadline", {}, (next) => Effect.succeed({ ...next, refresh: (id) => next.refresh(id) })),
        Resilience.retry({ baseDelay: "1 minute", maxDelay: "1 minute" })
      )
      const accounts = yield* pipeline.make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.fail(exceeded("deadline", 10_000, true)))
    })
  )

  it.effect("is not-sent in a bulkhead's queue and ambiguous once the call has left it", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.bulkhead({ concurrency: 1, queue: 5 })
      )
      const accounts = yield* pipeline.make(script.accounts)
      const first = yield* Effect.forkChild(Effect.flip(accounts.refresh(id)), { startImmediately: true })
      yield* TestClock.adjust(1)
      const second = yield* Effect.forkChild(
        Effect.flip(accounts.refresh(id, { deadline: DateTime.makeUnsafe(9_000) })),
        {
          startImmediately: true
        }
      )
      const third = yield* Effect.forkChild(Effect.flip(accounts.refresh(id)), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(first)).disposition, "ambiguous")
      assert.strictEqual((yield* Fiber.join(second)).disposition, "not-sent")
      assert.strictEqual((yield* Fiber.join(third)).disposition, "ambiguous")
      assertSame(
        script.sends.map(({ at }) => at),
        [0, 10_000]
      )
    })
  )

  it.effect("is ambiguous once a retry has sent again", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }, { answer: "hang" }])
      const pipeline = Resilience.compose(Resilience.deadline("10 seconds"), Resilience.retry())
      const accounts = yield* pipeline.make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id))
      assertSame(exit, Exit.fail(exceeded("deadline", 10_000, true)))
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("is ambiguous after an ambiguous attempt, even if the flight of the next attempt was not sent", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }, { answer: reset }, { answer: "hang" }])
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.retry({ baseDelay: "1 second" }),
        Resilience.coalesce(),
        Resilience.bulkhead({ concurrency: 2, queue: 5 })
      )
      const accounts = yield* pipeline.make(script.accounts)
      yield* Effect.forkChild(Effect.exit(accounts.refresh(otherId)), { startImmediately: true })
      const caller = yield* Effect.forkChild(Effect.flip(accounts.refresh(id, { idempotencyKey: "key" })), {
        startImmediately: true
      })
      const third = ConnectedAccountId.make("ca_-l3FzWqTw58L")
      yield* Effect.forkChild(Effect.exit(accounts.refresh(third)), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(caller)).disposition, "ambiguous")
    }).pipe(withDraw(0))
  )

  it.effect("is that of the shared flight that a caller waits for", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.coalesce(),
        Resilience.retry({ baseDelay: "20 seconds", maxDelay: "20 seconds" })
      )
      const accounts = yield* pipeline.make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.fail(exceeded("deadline", 10_000, false)))
    })
  )
})
