import {
  AccountNotFound,
  DeadlineExceeded,
  Forbidden,
  InvalidRequest,
  NotReady,
  RateLimited,
  type RefreshError,
  RefreshUnsupported,
  RefusedLocally,
  Resilience,
  TransportError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Exit, Fiber, Metric, PubSub } from "effect"
import { TestClock } from "effect/testing"
import { accountWith, boom, id, ready, refused, reset, assertSame, scripted, settle, withDraw } from "./script.ts"

const local = (reason: RefusedLocally["reason"]) => new RefusedLocally({ message: reason, reason })
const unavailable = new Unavailable({ message: "busy" })

describe("the next step after a failure", () => {
  const cases: ReadonlyArray<readonly [RefreshError, string]> = [
    [refused, "send"],
    [local("circuit-open"), "send"],
    [local("queue-full"), "send"],
    [local("rate-limited"), "send"],
    [new TransportError({ message: "", reason: "encode" }), "stop"],
    [new DeadlineExceeded({ message: "", timeout: Duration.zero, sent: false }), "send"],
    [new RateLimited({ message: "" }), "send"],
    [unavailable, "send"],
    [new InvalidRequest({ message: "" }), "stop"],
    [new Unauthorized({ message: "" }), "stop"],
    [new Forbidden({ message: "" }), "stop"],
    [new AccountNotFound({ message: "" }), "stop"],
    [new RefreshUnsupported({ message: "" }), "stop"],
    [new UnexpectedResponse({ message: "", status: 418, excerpt: "" }), "stop"]
  ]
  it.each(cases)("of %s is %s, by key and reconcile", (error, expected) => {
    assert.strictEqual(Resilience.nextStep(error, { reconcile: true }), expected)
    assert.strictEqual(Resilience.nextStep(error, { reconcile: false, idempotencyKey: "k" }), expected)
  })

  it.each([
    boom,
    reset,
    new UnexpectedResponse({ message: "", status: 502, excerpt: "" }),
    new DeadlineExceeded({ message: "", timeout: Duration.zero, sent: true })
  ])("of the ambiguous %s depends on the key, then on whether the account may be read", (error) => {
    assert.strictEqual(Resilience.nextStep(error, { reconcile: true, idempotencyKey: "k" }), "send")
    assert.strictEqual(Resilience.nextStep(error, { reconcile: true }), "reconcile")
    assert.strictEqual(Resilience.nextStep(error, { reconcile: false }), "stop")
  })
})

const times = (script: ReturnType<typeof scripted>) => script.sends.map(({ at }) => at)

describe("retry", () => {
  it.effect("sends a not-sent call again after the shortest backoff", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }, { answer: ready }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id, { validateCredentials: true })).pipe(withDraw(0))
      assertSame(exit, Exit.succeed(ready))
      assertSame(times(script), [0, 100])
      assertSame(script.sends[1]?.options, { validateCredentials: true })
    })
  )

  it.effect("fails with the last error after three attempts", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: unavailable }, { answer: refused }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.fail(refused))
      assertSame(times(script), [0, 100, 200])
    })
  )

  it.effect("draws each wait between the base and three times the last wait, and caps it", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const policy = Resilience.retry({ maxAttempts: 6, baseDelay: 100, maxDelay: 2_000, budget: false })
      const accounts = yield* policy.make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(1))
      assertSame(times(script), [0, 300, 1_200, 3_200, 5_200, 7_200])
    })
  )

  it.effect("waits for the server's Retry-After", () =>
    Effect.gen(function* () {
      const script = scripted([
        { answer: new RateLimited({ message: "", retryAfter: Duration.seconds(7) }) },
        { answer: new Unavailable({ message: "", retryAfter: Duration.millis(1) }) },
        { answer: ready }
      ])
      const accounts = yield* Resilience.retry().make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(times(script), [0, 7_000, 7_100])
    })
  )

  it.effect("caps a Retry-After of a day", () =>
    Effect.gen(function* () {
      const script = scripted([
        { answer: new Unavailable({ message: "", retryAfter: Duration.days(1) }) },
        { answer: ready }
      ])
      const accounts = yield* Resilience.retry().make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(times(script), [0, 30_000])
    })
  )

  it.effect("obeys the cap of its options", () =>
    Effect.gen(function* () {
      const script = scripted([
        { answer: new Unavailable({ message: "", retryAfter: Duration.days(1) }) },
        { answer: ready }
      ])
      const accounts = yield* Resilience.retry({ maxRetryAfter: "2 seconds" }).make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(times(script), [0, 2_000])
    })
  )

  it.effect("does not repeat after a 4xx or 501", () =>
    Effect.gen(function* () {
      const verdict = new AccountNotFound({ message: "gone" })
      const script = scripted([{ answer: verdict }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame(yield* settle(accounts.refresh(id)), { exit: Exit.fail(verdict), at: 0 })
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("fails at once with the last error if the wait would pass the deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 50, answer: refused }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { at, exit } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(150) })).pipe(withDraw(0))
      assertSame(exit, Exit.fail(refused))
      assert.strictEqual(at, 50)
    })
  )

  it.effect("retries if the wait ends just before the deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 50, answer: refused }, { answer: ready }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { at, exit } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(151) })).pipe(withDraw(0))
      assertSame(exit, Exit.succeed(ready))
      assert.strictEqual(at, 150)
    })
  )

  it.effect("takes the number of attempts from Settings if they are provided", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(Effect.provideService(Resilience.Settings, { maxAttempts: 1 }))
      assert.strictEqual(script.sends.length, 1)
      yield* settle(accounts.refresh(id)).pipe(Effect.provideService(Resilience.Settings, { maxAttempts: 5 }))
      assert.strictEqual(script.sends.length, 6)
    })
  )

  it.effect("lets a call change one setting and keep the others", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const pipeline = Resilience.compose(Resilience.deadline("1 minute"), Resilience.attemptTimeout("1 minute"))
      const accounts = yield* pipeline.make(script.accounts)
      const { at } = yield* settle(accounts.refresh(id)).pipe(
        Effect.updateService(Resilience.Settings, (outer) => ({ ...outer, attemptTimeout: 30_000 })),
        Effect.provideService(Resilience.Settings, { timeout: "20 seconds" })
      )
      assert.strictEqual(at, 20_000)
    })
  )

  it.effect("repeats an ambiguous attempt with the call's idempotency key, without reading the account", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { answer: ready }])
      const accounts = yield* Resilience.retry({ reconcile: false }).make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id, { idempotencyKey: "key" }))
      assertSame(exit, Exit.succeed(ready))
      assertSame(
        script.sends.map(({ options }) => options?.idempotencyKey),
        ["key", "key"]
      )
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("never repeats an ambiguous attempt without a key and without reconcile", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }])
      const accounts = yield* Resilience.retry({ reconcile: false }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(reset))
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("reads the account before it repeats an ambiguous attempt, and answers with it if it has changed", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, commits: "ACTIVE", answer: reset }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 1)
      assertSame(script.reads, [110])
    })
  )

  it.effect("sends again if the account has not changed", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { answer: ready }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id)).pipe(withDraw(0))).exit, Exit.succeed(ready))
      assertSame(times(script), [0, 100])
      assertSame(script.reads, [100])
    })
  )

  it.effect("reads the account after the last attempt too, at once", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { takes: 5, commits: "EXPIRED", answer: boom }])
      const accounts = yield* Resilience.retry({ maxAttempts: 2 }).make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.succeed(NotReady.make({ id, status: "EXPIRED" })))
      assertSame(script.reads, [100, 105])
    })
  )

  it.effect("fails with the ambiguous error if the last reading shows no change", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }])
      const accounts = yield* Resilience.retry({ maxAttempts: 1 }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(reset))
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(script.reads.length, 1)
    })
  )

  it.effect("does not read the account after the deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 200, answer: reset }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(200) }))
      assertSame(exit, Exit.fail(reset))
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("reads the account and does not send if the deadline leaves time only for that", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 200, answer: reset }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { at, exit } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(201) })).pipe(withDraw(0))
      assertSame(exit, Exit.fail(reset))
      assert.strictEqual(at, 200)
      assertSame(script.reads, [200])
    })
  )

  it.effect("does not send if the account cannot be read, and reads it again while attempts are left", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }], { reads: [unavailable] })
      const accounts = yield* Resilience.retry().make(script.accounts)
      const { exit } = yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assertSame(exit, Exit.fail(reset))
      assert.strictEqual(script.sends.length, 1)
      assertSame(script.reads, [100, 200, 200])
    })
  )

  it.effect("sends again after a later reading succeeds", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { answer: ready }], {
        reads: [unavailable, accountWith("ACTIVE", -1_000_000)]
      })
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id)).pipe(withDraw(0))).exit, Exit.succeed(ready))
      assertSame(times(script), [0, 200])
    })
  )

  it.effect("compares the second reading with the first, whatever the server's clock", () =>
    Effect.gen(function* () {
      const farBehind = (status: "ACTIVE" | "EXPIRED", updatedAt: number) => accountWith(status, -1e9 + updatedAt)
      const script = scripted([{ answer: reset }], { reads: [farBehind("ACTIVE", 0), farBehind("ACTIVE", 1)] })
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id)).pipe(withDraw(0))).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("reads the account before the first attempt with baseline: read, and needs no clock", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }], {
        reads: [accountWith("ACTIVE", -1e9), accountWith("ACTIVE", -1e9 + 1)]
      })
      const accounts = yield* Resilience.retry({ reconcile: { baseline: "read" } }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id)).pipe(withDraw(0))).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 1)
      assertSame(script.reads, [0, 100])
    })
  )

  it.effect("uses the clock if that first reading fails", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }], { reads: [unavailable, accountWith("ACTIVE", 50)] })
      const accounts = yield* Resilience.retry({ reconcile: { baseline: "read" } }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("compares with the start of each attempt", () =>
    Effect.gen(function* () {
      // Updated before the first attempt by more than the skew, after a refused first send by less.
      const script = scripted([{ takes: 10_000, answer: refused }, { answer: reset }, { answer: ready }], {
        reads: [accountWith("ACTIVE", 5_000)]
      })
      const accounts = yield* Resilience.retry().make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      assert.strictEqual(script.sends.length, 3)
    })
  )

  it.effect("reads the account before every later send, because an ambiguous attempt may still be carried out", () =>
    Effect.gen(function* () {
      const busy = new Unavailable({ message: "busy", retryAfter: Duration.seconds(5) })
      const script = scripted([{ answer: reset }, { answer: busy }, { answer: ready }], {
        reads: [accountWith("ACTIVE", -1_000_000), accountWith("ACTIVE", 3_000)]
      })
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id)).pipe(withDraw(0))).exit, Exit.succeed(ready))
      assertSame(times(script), [0, 100])
      assertSame(script.reads, [100, 5_100])
    })
  )

  it.effect.each([refused, unavailable, local("circuit-open")])(
    "does not end with %s, which says that nothing was done, after an attempt in doubt",
    (last) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: reset }, { answer: last }])
        const looking = yield* Resilience.retry().make(script.accounts)
        assertSame((yield* settle(looking.refresh(id))).exit, Exit.fail(reset))
        assert.strictEqual(script.sends.length, 3)
        const keyed = scripted([{ answer: boom }, { answer: last }])
        const blind = yield* Resilience.retry().make(keyed.accounts)
        assertSame((yield* settle(blind.refresh(id, { idempotencyKey: "key" }))).exit, Exit.fail(boom))
      })
  )

  it.effect("ends with a 4xx even after an ambiguous attempt", () =>
    Effect.gen(function* () {
      const gone = new AccountNotFound({ message: "gone" })
      const script = scripted([{ answer: reset }, { answer: gone }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(gone))
    })
  )

  it.effect("spreads callers with the same Retry-After", () =>
    Effect.gen(function* () {
      const script = scripted([
        { answer: new RateLimited({ message: "", retryAfter: Duration.seconds(7) }) },
        { answer: ready }
      ])
      const accounts = yield* Resilience.retry({ baseDelay: 100 }).make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0.5))
      assertSame(times(script), [0, 7_100])
    })
  )

  it.effect("retries reads after ambiguous failures too, but not after a 4xx", () =>
    Effect.gen(function* () {
      const gone = new AccountNotFound({ message: "gone" })
      const script = scripted([{ answer: ready }], {
        reads: [reset, unavailable, accountWith("ACTIVE", 1), reset, reset, reset, gone]
      })
      const accounts = yield* Resilience.retry().make(script.accounts)
      const read = () => settle(accounts.get(id)).pipe(withDraw(0))
      assertSame((yield* read()).exit, Exit.succeed(accountWith("ACTIVE", 1)))
      assertSame(script.reads, [0, 100, 200])
      assertSame((yield* read()).exit, Exit.fail(reset))
      assert.strictEqual(script.reads.length, 6)
      assertSame((yield* read()).exit, Exit.fail(gone))
      assert.strictEqual(script.reads.length, 7)
    })
  )

  it.effect("stops when its caller is interrupted while it waits", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const accounts = yield* Resilience.retry().make(script.accounts)
      const fiber = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("counts sends and retries", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }], { reads: [reset] })
      const accounts = yield* Resilience.retry().make(script.accounts)
      yield* settle(accounts.refresh(id))
      assert.strictEqual((yield* Metric.value(Resilience.Metrics.attempts)).count, 3)
      assert.strictEqual((yield* Metric.value(Resilience.Metrics.retries)).count, 2)
      yield* settle(accounts.get(id))
      assert.strictEqual((yield* Metric.value(Resilience.Metrics.attempts)).count, 3)
      assert.strictEqual((yield* Metric.value(Resilience.Metrics.retries)).count, 4)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("says what it does", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { takes: 1, commits: "ACTIVE", answer: refused }], {
        reads: [unavailable, accountWith("ACTIVE", -1_000_000)]
      })
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const accounts = yield* Resilience.retry({ maxAttempts: 3, budget: { reserve: 2 } }).make(script.accounts)
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      yield* settle(accounts.refresh(id)).pipe(withDraw(0))
      yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(0) })).pipe(withDraw(0))
      assertSame(yield* PubSub.takeAll(events), [
        {
          _tag: "RetryScheduled",
          accountId: id,
          attempt: 1,
          delay: 100,
          error: "TransportError",
          disposition: "ambiguous"
        },
        { _tag: "Reconciled", accountId: id, result: "unknown" },
        {
          _tag: "RetryScheduled",
          accountId: id,
          attempt: 2,
          delay: 100,
          error: "TransportError",
          disposition: "ambiguous"
        },
        { _tag: "Reconciled", accountId: id, result: "unmoved", status: "ACTIVE" },
        { _tag: "RetryRefused", accountId: id, attempt: 3, reason: "attempts" },
        { _tag: "Reconciled", accountId: id, result: "unmoved", status: "ACTIVE" },
        {
          _tag: "RetryScheduled",
          accountId: id,
          attempt: 1,
          delay: 100,
          error: "TransportError",
          disposition: "not-sent"
        },
        { _tag: "RetryRefused", accountId: id, attempt: 2, reason: "budget" },
        { _tag: "RetryRefused", accountId: id, attempt: 1, reason: "deadline" }
      ])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself, defaults included", () => {
    assert.deepStrictEqual(Resilience.retry().describe(), [
      {
        policy: "retry",
        options: {
          maxAttempts: 3,
          baseDelay: 100,
          maxDelay: 5_000,
          maxRetryAfter: 30_000,
          budget: { ratio: 0.2, reserve: 10 },
          reconcile: { baseline: "clock", clockSkew: 2_000 }
        }
      }
    ])
    assert.deepStrictEqual(
      Resilience.retry({
        maxAttempts: 2,
        baseDelay: 1,
        maxDelay: 2,
        maxRetryAfter: 3,
        budget: false,
        reconcile: false
      }).describe(),
      [
        {
          policy: "retry",
          options: { maxAttempts: 2, baseDelay: 1, maxDelay: 2, maxRetryAfter: 3, budget: false, reconcile: false }
        }
      ]
    )
  })
})

describe("the retry budget", () => {
  it("starts with its reserve, earns its ratio, and never holds more than the reserve", () => {
    const budget = new Resilience.RetryBudget({ ratio: 0.1, reserve: 2 })
    assertSame([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false])
    for (let call = 0; call < 9; call++) budget.deposit()
    assert.isFalse(budget.withdraw())
    budget.deposit()
    assert.isTrue(budget.withdraw())
    for (let call = 0; call < 1_000; call++) budget.deposit()
    assertSame([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false])
  })

  it("can save up one retry even without a reserve", () => {
    const budget = new Resilience.RetryBudget({ ratio: 0.5, reserve: 0 })
    assert.isFalse(budget.withdraw())
    for (let call = 0; call < 10; call++) budget.deposit()
    assertSame([budget.withdraw(), budget.withdraw()], [true, false])
  })

  it("takes back an unused retry", () => {
    const budget = new Resilience.RetryBudget({ reserve: 1 })
    assert.isTrue(budget.withdraw())
    budget.refund()
    assertSame([budget.withdraw(), budget.withdraw()], [true, false])
  })

  it("never holds more than its reserve, whatever is refunded", () => {
    const budget = new Resilience.RetryBudget({ reserve: 1, ratio: 1 })
    assert.isTrue(budget.withdraw())
    budget.deposit()
    budget.refund()
    assertSame([budget.withdraw(), budget.withdraw()], [true, false])
  })

  it.effect("is shared by all calls of a pipeline, reads included", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }], { reads: [reset] })
      const accounts = yield* Resilience.retry({ budget: { ratio: 0, reserve: 3 } }).make(script.accounts)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 3)
      yield* settle(accounts.get(id))
      assert.strictEqual(script.reads.length, 2)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 4)
    })
  )

  it.effect("is earned by calls", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }, { answer: refused }], { reads: [accountWith("ACTIVE", 0)] })
      const accounts = yield* Resilience.retry({ budget: { ratio: 0.5, reserve: 0 } }).make(script.accounts)
      yield* accounts.refresh(id)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 3)
      yield* accounts.get(id)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 5)
    })
  )

  it.effect("is not spent by a reading that answers the call", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 1, commits: "ACTIVE", answer: reset }, { answer: refused }, { answer: ready }])
      const accounts = yield* Resilience.retry({ budget: { ratio: 0, reserve: 1 } }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 3)
    })
  )

  it.effect("is spent by the send after a reading", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }])
      const accounts = yield* Resilience.retry({ budget: { ratio: 0, reserve: 1 } }).make(script.accounts)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("is not spent by a reading that fails", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { answer: ready }], {
        reads: [unavailable, accountWith("ACTIVE", -1_000_000)]
      })
      const accounts = yield* Resilience.retry({ budget: { ratio: 0, reserve: 1 } }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("is not needed for readings", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 1, commits: "ACTIVE", answer: reset }])
      const accounts = yield* Resilience.retry({ budget: false }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
    })
  )

  it.effect("is not refunded after the last reading, which cost nothing", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 1, commits: "ACTIVE", answer: reset }, { answer: refused }])
      const policy = Resilience.retry({ maxAttempts: 1, budget: { ratio: 0, reserve: 0 } })
      const accounts = yield* policy.make(script.accounts)
      yield* settle(accounts.refresh(id))
      yield* settle(accounts.refresh(id)).pipe(Effect.provideService(Resilience.Settings, { maxAttempts: 9 }))
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("is not spent on sends when it is switched off", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const accounts = yield* Resilience.retry({ maxAttempts: 30, budget: false }).make(script.accounts)
      yield* settle(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 30)
    })
  )

  it.effect("can be shared by pipelines", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: refused }])
      const one = yield* Resilience.retry().make(script.accounts)
      const two = yield* Resilience.retry({ budget: false }).make(script.accounts)
      yield* settle(one.refresh(id))
      yield* settle(two.refresh(id))
      assert.strictEqual(script.sends.length, 3)
    }).pipe(Effect.provide(Resilience.layerRetryBudget({ ratio: 0, reserve: 1 })))
  )
})
