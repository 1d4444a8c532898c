import {
  AccountNotFound,
  DeadlineExceeded,
  Forbidden,
  InvalidRequest,
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
import { Duration, Effect, Exit, Fiber, Layer, Metric, PubSub, Scope } from "effect"
import * as Breaker from "effect/persistence/CircuitBreaker"
import { TestClock } from "effect/testing"
import { accountWith, boom, id, otherId, ready, refused, reset, assertSame, scripted, settle } from "./script.ts"

const open = (retryAfter: Duration.Duration, account = id) =>
  new RefusedLocally({
    message: `Circuit open for ${account}`,
    reason: "circuit-open",
    retryAfter
  })

const once = { tripPolicy: Breaker.consecutive(1) }

describe("the class of an error for a circuit", () => {
  const exceeded = (sent: boolean) => new DeadlineExceeded({ message: "", timeout: Duration.zero, sent })
  const local = (reason: RefusedLocally["reason"]) => new RefusedLocally({ message: "", reason })
  const cases: ReadonlyArray<readonly [RefreshError, Breaker.Outcome["_tag"]]> = [
    [new InvalidRequest({ message: "" }), "Success"],
    [new Unauthorized({ message: "" }), "Success"],
    [new Forbidden({ message: "" }), "Success"],
    [new AccountNotFound({ message: "" }), "Success"],
    [new RefreshUnsupported({ message: "" }), "Success"],
    [new RateLimited({ message: "", retryAfter: Duration.seconds(1) }), "Ignored"],
    [boom, "Failure"],
    [new Unavailable({ message: "" }), "Failure"],
    [reset, "Failure"],
    [refused, "Failure"],
    [local("queue-full"), "Ignored"],
    [local("rate-limited"), "Ignored"],
    [local("circuit-open"), "Ignored"],
    [new TransportError({ message: "", reason: "encode" }), "Ignored"],
    [exceeded(true), "Failure"],
    [exceeded(false), "Ignored"],
    [new UnexpectedResponse({ message: "", status: 502, excerpt: "" }), "Failure"],
    [new UnexpectedResponse({ message: "", status: 418, excerpt: "" }), "Ignored"]
  ]
  it.each(cases)("%s: %s", (error, expected) => {
    assert.strictEqual(Resilience.health(error)._tag, expected)
  })

  it("includes the Retry-After of a 503", () => {
    assert.deepStrictEqual(
      Resilience.health(new Unavailable({ message: "", retryAfter: Duration.seconds(9) })),
      Breaker.failure({ retryAfter: Duration.seconds(9) })
    )
  })
})

describe("circuitBreaker", () => {
  it.effect("refuses calls while open, then lets one probe through, and closes on its success", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }, { takes: 10, answer: ready }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(15)))
      yield* TestClock.adjust(14_999)
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.millis(1)))
      yield* TestClock.adjust(1)
      const probe = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
      assertSame(
        yield* Effect.flip(accounts.refresh(id)),
        new RefusedLocally({
          message: `Circuit half-open for ${id}`,
          reason: "circuit-open"
        })
      )
      yield* TestClock.adjust(10)
      assertSame(yield* Fiber.join(probe), ready)
      assertSame(
        (yield* settle(Effect.all([accounts.refresh(id), accounts.refresh(id)]))).exit,
        Exit.succeed([ready, ready])
      )
      assert.strictEqual(script.sends.length, 4)
    })
  )

  it.effect("stays open twice as long if the probe fails, up to a limit", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const policy = Resilience.circuitBreaker({ ...once, openDuration: "4 seconds", maxOpenDuration: "10 seconds" })
      const accounts = yield* policy.make(script.accounts)
      for (const seconds of [4, 8, 10, 10]) {
        assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
        assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(seconds)))
        yield* TestClock.adjust(Duration.seconds(seconds))
      }
    })
  )

  it.effect("stays open for the Retry-After of a 503, within its limit", () =>
    Effect.gen(function* () {
      const busy = (seconds: number) => new Unavailable({ message: "", retryAfter: Duration.seconds(seconds) })
      const script = scripted([{ answer: busy(40) }, { answer: busy(86_400) }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(40)))
      yield* TestClock.adjust("40 seconds")
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(60)))
    })
  )

  it.effect("opens by default when half of at least twenty calls failed", () =>
    Effect.gen(function* () {
      const script = scripted([...Array.from({ length: 10 }, () => ({ answer: ready })), { answer: boom }])
      const accounts = yield* Resilience.circuitBreaker().make(script.accounts)
      for (let call = 0; call < 25; call++) yield* Effect.exit(accounts.refresh(id))
      assert.strictEqual(script.sends.length, 20)
    })
  )

  it.effect("counts the successes that were not sent to its store, however long ago, before the next failure", () =>
    Effect.gen(function* () {
      const failures = Array.from({ length: 30 }, () => ({ answer: boom }))
      const script = scripted([...Array.from({ length: 30 }, () => ({ answer: ready })), ...failures])
      const accounts = yield* Resilience.circuitBreaker().make(script.accounts)
      for (let call = 0; call < 30; call++) yield* accounts.refresh(id)
      yield* TestClock.adjust("2 hours")
      for (let call = 0; call < 30; call++) yield* Effect.exit(accounts.refresh(id))
      // With 25 failures of the last 50 calls half of them have failed.
      assert.strictEqual(script.sends.length, 30 + 25)
    })
  )

  it.effect("counts no 4xx, no 429 and no interruption as a failure", () =>
    Effect.gen(function* () {
      const script = scripted([
        { answer: new AccountNotFound({ message: "" }) },
        { answer: new RateLimited({ message: "" }) },
        { answer: "hang" },
        { answer: ready }
      ])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      yield* Effect.flip(accounts.refresh(id))
      const fiber = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assertSame(yield* accounts.refresh(id), ready)
    })
  )

  it.effect("counts a defect", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "defect" }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(accounts.refresh(id))))
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(15)))
    })
  )

  it.effect("frees the probe's place when the probe is interrupted", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }, { answer: "hang" }, { answer: ready }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      yield* TestClock.adjust("15 seconds")
      const probe = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
      yield* Fiber.interrupt(probe)
      assertSame(yield* accounts.refresh(id), ready)
    })
  )

  it.effect("guards reads by the same circuit", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }], { reads: [reset, accountWith("ACTIVE", 1)] })
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      assertSame(yield* Effect.flip(accounts.get(id)), reset)
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(15)))
      yield* TestClock.adjust("15 seconds")
      assertSame(yield* accounts.get(id), accountWith("ACTIVE", 1))
    })
  )

  it.effect("has one circuit for the provider by default", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* Effect.flip(accounts.refresh(otherId)), open(Duration.seconds(15), otherId))
    })
  )

  it.effect("has one circuit for each account with key: account", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const accounts = yield* Resilience.circuitBreaker({ ...once, key: "account" }).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* Effect.flip(accounts.refresh(otherId)), boom)
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(15)))
    })
  )

  it.effect("has a circuit for each key of a function", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const policy = Resilience.circuitBreaker({
        ...once,
        key: (id, options) => `${id.slice(0, 2)}/${options?.redirectUrl ?? "none"}`
      })
      const accounts = yield* policy.make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* Effect.flip(accounts.refresh(otherId)), boom)
      assertSame(yield* Effect.flip(accounts.refresh(id, { redirectUrl: "x" })), boom)
      assertSame(yield* Effect.flip(accounts.refresh(id)), open(Duration.seconds(15)))
      assertSame(yield* Effect.flip(accounts.get(id)), open(Duration.seconds(15)))
    })
  )

  it.effect("uses the store it is given, by name and key", () =>
    Effect.gen(function* () {
      const store = yield* Breaker.CircuitBreakerStore
      const script = scripted([{ answer: boom }])
      const one = yield* Resilience.circuitBreaker(once).make(script.accounts)
      const twin = yield* Resilience.circuitBreaker(once).make(script.accounts)
      const other = yield* Resilience.circuitBreaker({ ...once, name: "other", key: "account" }).make(script.accounts)
      yield* Effect.flip(one.refresh(id))
      assertSame(yield* Effect.flip(twin.refresh(id)), open(Duration.seconds(15)))
      assertSame(yield* Effect.flip(other.refresh(id)), boom)
      assert.strictEqual((yield* store.state("rekindle"))._tag, "Open")
      assert.strictEqual((yield* store.state(`other:${id}`))._tag, "Open")
    }).pipe(Effect.provide(Breaker.layerStoreMemory()))
  )

  it.effect("shares no circuits if no store is provided", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const one = yield* Resilience.circuitBreaker(once).make(script.accounts)
      const other = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* Effect.flip(one.refresh(id))
      assertSame(yield* Effect.flip(other.refresh(id)), boom)
    })
  )

  it.effect("lets calls pass when the store is out of reach", () => {
    const lost = Effect.fail(
      new Breaker.CircuitBreakerError({ reason: new Breaker.CircuitBreakerStoreError({ message: "lost" }) })
    )
    const admission = { generation: 0, probe: false, consecutiveOpenings: 0, transition: undefined }
    let reachable = false
    const store = Layer.succeed(Breaker.CircuitBreakerStore, {
      admit: () => (reachable ? Effect.succeed(admission) : lost),
      record: () => lost,
      state: () => lost
    })
    return Effect.gen(function* () {
      const script = scripted([{ answer: ready }, { answer: boom }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      assertSame(yield* accounts.refresh(id), ready)
      reachable = true
      assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
    }).pipe(Effect.provide(store))
  })

  it.effect("closes the scope of a probe's lease", () => {
    const released: Array<string> = []
    const store = Layer.succeed(Breaker.CircuitBreakerStore, {
      admit: () =>
        Effect.gen(function* () {
          yield* Scope.addFinalizer(
            yield* Effect.scope,
            Effect.sync(() => void released.push("lease"))
          )
          return { generation: 0, probe: true, consecutiveOpenings: 0, transition: undefined }
        }),
      record: () => Effect.sync(() => void released.push("record")),
      state: () => Effect.die("not used")
    })
    return Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.circuitBreaker(once).make(script.accounts)
      yield* accounts.refresh(id)
      assertSame(released, ["record", "lease"])
    }).pipe(Effect.provide(store))
  })

  it.effect("publishes and counts changes of a circuit and refusals", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const script = scripted([{ answer: boom }, { answer: ready }])
      const accounts = yield* Resilience.circuitBreaker({ ...once, key: "account" }).make(script.accounts)
      yield* Effect.flip(accounts.refresh(id))
      yield* Effect.flip(accounts.refresh(id))
      yield* TestClock.adjust("15 seconds")
      yield* accounts.refresh(id)
      const key = `rekindle:${id}`
      assertSame(yield* PubSub.takeAll(events), [
        { _tag: "CircuitChanged", key, from: "Closed", to: "Open" },
        { _tag: "Refused", accountId: id, reason: "circuit-open" },
        { _tag: "CircuitChanged", key, from: "Open", to: "HalfOpen" },
        { _tag: "CircuitChanged", key, from: "HalfOpen", to: "Closed" }
      ])
      for (const to of ["Open", "HalfOpen", "Closed"] as const) {
        assert.strictEqual((yield* Metric.value(Resilience.Metrics.circuitTransitions[to])).count, 1)
      }
    }).pipe(Effect.provide(Resilience.layerEvents), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.circuitBreaker().describe(), [
      {
        policy: "circuit-breaker",
        options: {
          name: "rekindle",
          key: "provider",
          tripPolicy: { _tag: "Rate", threshold: 0.5, size: 50, minimumCalls: 20 },
          openDuration: 15_000,
          maxOpenDuration: 60_000
        }
      }
    ])
    const own = Resilience.circuitBreaker({ name: "n", key: () => "k", ...once, openDuration: 1, maxOpenDuration: 2 })
    assert.deepStrictEqual(own.describe()[0]?.options, {
      name: "n",
      key: "function",
      tripPolicy: { _tag: "Consecutive", failures: 1 },
      openDuration: 1,
      maxOpenDuration: 2
    })
  })
})
