import { CurrentProject, Resilience } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Effect, Exit, Fiber, PubSub, Scope } from "effect"
import { TestClock } from "effect/testing"
import { boom, id, otherId, ready, assertSame, scripted, timed } from "./script.ts"

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(timed(effect), { startImmediately: true })

describe("coalesce", () => {
  it.effect("sends once for all callers during a flight", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const early = yield* Effect.forEach([1, 2], () => start(accounts.refresh(id)))
      yield* TestClock.adjust(50)
      const late = yield* start(accounts.refresh(id))
      yield* TestClock.adjust(50)
      for (const fiber of [...early, late]) {
        assertSame(yield* Fiber.join(fiber), { exit: Exit.succeed(ready), at: 100 })
      }
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("shares a failure with those who waited and forgets it", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: boom }, { answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const fibers = yield* Effect.forEach([1, 2], () => start(accounts.refresh(id)))
      yield* TestClock.adjust(100)
      for (const fiber of fibers) assertSame((yield* Fiber.join(fiber)).exit, Exit.fail(boom))
      assertSame(yield* accounts.refresh(id), ready)
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("shares a defect too", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: "defect" }, { answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const fibers = yield* Effect.forEach([1, 2], () => start(accounts.refresh(id)))
      yield* TestClock.adjust(100)
      for (const fiber of fibers) assert.isTrue(Exit.hasDies((yield* Fiber.join(fiber)).exit))
      assertSame(yield* accounts.refresh(id), ready)
    })
  )

  it.effect("keeps no answer, not even a synchronous one", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* accounts.refresh(id)
      yield* accounts.refresh(id)
      assert.strictEqual(script.sends.length, 2)
    })
  )

  it.effect("keeps accounts and different options apart", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      for (const call of [
        accounts.refresh(id),
        accounts.refresh(otherId),
        accounts.refresh(id, { validateCredentials: true }),
        accounts.refresh(id, { redirectUrl: "https://a.example" }),
        accounts.refresh(id, { redirectUrl: "https://b.example" }),
        accounts.refresh(id, { idempotencyKey: "a" }),
        accounts.refresh(id, { idempotencyKey: "b" })
      ]) {
        yield* start(call)
        yield* start(call)
      }
      assert.strictEqual(script.sends.length, 7)
    })
  )

  it.effect("keeps projects apart, so that none gets the answer of another", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const ours = Effect.provideService(accounts.refresh(id), CurrentProject, "ours")
      const theirs = Effect.provideService(accounts.refresh(id), CurrentProject, "theirs")
      for (const call of [ours, theirs, accounts.refresh(id), ours, theirs]) yield* start(call)
      assert.strictEqual(script.sends.length, 3)
    })
  )

  it.effect("keeps options apart that would be the same if they were concatenated", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* start(accounts.refresh(id, { redirectUrl: "a\nb" }))
      yield* start(accounts.refresh(id, { redirectUrl: "a", idempotencyKey: "b\n" }))
      yield* start(accounts.refresh(id, { redirectUrl: "a", idempotencyKey: "b" }))
      yield* start(accounts.refresh(id, { redirectUrl: "" }))
      yield* start(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 5)
    })
  )

  it.effect("does not keep apart options that mean the same", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* start(accounts.refresh(id))
      yield* start(accounts.refresh(id, {}))
      yield* start(accounts.refresh(id, { validateCredentials: false }))
      yield* start(accounts.refresh(id, { deadline: DateTime.makeUnsafe(5) }))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("continues to its end for the others if a caller is interrupted", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      const first = yield* start(accounts.refresh(id))
      const second = yield* start(accounts.refresh(id))
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust(100)
      assertSame((yield* Fiber.join(second)).exit, Exit.succeed(ready))
      assert.strictEqual(script.sends[0]?.ended, "answered")
    })
  )

  it.effect("continues even if no caller waits any more", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* Fiber.interrupt(yield* start(accounts.refresh(id)))
      yield* TestClock.adjust(100)
      assert.strictEqual(script.sends[0]?.ended, "answered")
    })
  )

  it.effect("gives the flight its own deadline, not its first caller's", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.coalesce({ maxFlight: "20 seconds" }).make(script.accounts)
      yield* TestClock.adjust(1_000)
      yield* accounts.refresh(id, { deadline: DateTime.makeUnsafe(2_000), validateCredentials: true })
      const own = { deadline: DateTime.makeUnsafe(21_000) }
      yield* accounts.refresh(id, own)
      assertSame(script.sends[0]?.options, {
        deadline: DateTime.makeUnsafe(21_000),
        validateCredentials: true
      })
      assert.strictEqual(script.sends[1]?.options, own)
    })
  )

  it.effect(
    "gives the flight as long as its first caller waits, if that is longer, and lets others join till then",
    () =>
      Effect.gen(function* () {
        const script = scripted([{ takes: 60_000, answer: ready }])
        const accounts = yield* Resilience.standard().make(script.accounts)
        const patient = Effect.provideService(accounts.refresh(id), Resilience.Settings, {
          timeout: "2 minutes",
          attemptTimeout: "90 seconds"
        })
        const first = yield* start(patient)
        yield* TestClock.adjust("40 seconds")
        const second = yield* start(accounts.refresh(id))
        yield* TestClock.adjust("1 hour")
        assertSame(yield* Fiber.join(first), { exit: Exit.succeed(ready), at: 60_000 })
        assertSame(yield* Fiber.join(second), { exit: Exit.succeed(ready), at: 60_000 })
        assert.strictEqual(script.sends.length, 1)
      })
  )

  it.effect("keeps the deadline of each caller", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 3_000, answer: ready }])
      const pipeline = Resilience.compose(Resilience.deadline("10 seconds"), Resilience.coalesce())
      const accounts = yield* pipeline.make(script.accounts)
      const hasty = yield* start(accounts.refresh(id, { deadline: DateTime.makeUnsafe(1_000) }))
      const patient = yield* start(accounts.refresh(id))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(hasty)).at, 1_000)
      assertSame(yield* Fiber.join(patient), { exit: Exit.succeed(ready), at: 3_000 })
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("starts a new flight if one hangs, which the end of the old one does not disturb", () =>
    Effect.gen(function* () {
      const script = scripted([
        { takes: 31_000, answer: boom },
        { takes: 5_000, answer: ready }
      ])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* start(accounts.refresh(id))
      yield* TestClock.adjust(29_999)
      yield* start(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 1)
      yield* TestClock.adjust(1)
      const next = yield* start(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 2)
      yield* TestClock.adjust(2_000)
      const joined = yield* start(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 2)
      yield* TestClock.adjust(3_000)
      assertSame((yield* Fiber.join(next)).exit, Exit.succeed(ready))
      assertSame((yield* Fiber.join(joined)).exit, Exit.succeed(ready))
    })
  )

  it.effect("makes no flight for a caller with coalesce: false", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* start(accounts.refresh(id))
      const alone = Effect.provideService(accounts.refresh(id), Resilience.Settings, { coalesce: false })
      yield* start(alone)
      yield* start(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 2)
      assert.isUndefined(script.sends[1]?.options)
    })
  )

  it.effect("does not coalesce reads", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }], { reads: ["hang"] })
      const accounts = yield* Resilience.coalesce().make(script.accounts)
      yield* start(accounts.get(id))
      yield* start(accounts.get(id))
      assert.strictEqual(script.reads.length, 2)
    })
  )

  it.effect("ends flights with the layer, and waits for an uninterruptible provider", () =>
    Effect.gen(function* () {
      const script = scripted([
        { takes: 100, answer: ready },
        { takes: 100, answer: ready, stubborn: true }
      ])
      const scope = yield* Scope.make()
      const accounts = yield* Scope.provide(Resilience.coalesce().make(script.accounts), scope)
      yield* start(accounts.refresh(id))
      yield* start(accounts.refresh(otherId))
      const closing = yield* start(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(closing)).at, 100)
      assertSame(
        script.sends.map(({ ended }) => ended),
        ["interrupted", "answered"]
      )
    })
  )

  it.effect("answers ten thousand callers with one send", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.standard().make(script.accounts)
      const fiber = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 10_000 }, () => accounts.refresh(id)),
          { concurrency: "unbounded" }
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* Fiber.join(fiber)).length, 10_000)
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(yield* Clock.currentTimeMillis, 100)
    })
  )

  it.effect("publishes who joined a flight", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const accounts = yield* Resilience.coalesce().make(scripted([{ answer: "hang" }]).accounts)
      yield* start(accounts.refresh(id))
      yield* start(accounts.refresh(id))
      assertSame(yield* PubSub.takeAll(events), [{ _tag: "FlightJoined", accountId: id }])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.coalesce().describe(), [{ policy: "coalesce", options: { maxFlight: 30_000 } }])
  })
})
