import {
  AccountNotFound,
  ConnectedAccounts,
  NotReady,
  RateLimited,
  RedirectRequired,
  Resilience,
  Unavailable
} from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Metric, PubSub, Random, References, Scope, Stream, Tracer } from "effect"
import * as Breaker from "effect/persistence/CircuitBreaker"
import * as Limiter from "effect/persistence/RateLimiter"
import * as Redis from "effect/persistence/Redis"
import { TestClock } from "effect/testing"
import { accountWith, boom, id, ready, refused, reset, assertSame, scripted, settle, timed } from "./script.ts"

describe("fallback", () => {
  const served = NotReady.make({ id, status: "INITIALIZING" })

  it.effect.each([reset, boom, refused, new Unavailable({ message: "" }), new RateLimited({ message: "" })])(
    "covers %s if the account reads ACTIVE",
    (error) =>
      Effect.gen(function* () {
        const accounts = yield* Resilience.fallback().make(scripted([{ answer: error }]).accounts)
        assertSame(yield* accounts.refresh(id), ready)
      })
  )

  it.effect("keeps the failure if the account is not ACTIVE", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }], { account: accountWith("EXPIRED", 0) })
      const accounts = yield* Resilience.fallback().make(script.accounts)
      assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
    })
  )

  it.effect("keeps the failure if the account is disabled", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }], { account: { ...accountWith("ACTIVE", 0), isDisabled: true } })
      const accounts = yield* Resilience.fallback().make(script.accounts)
      assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
    })
  )

  it.effect("keeps the failure if the account cannot be read", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }], { reads: [reset] })
      const accounts = yield* Resilience.fallback().make(script.accounts)
      assertSame(yield* Effect.flip(accounts.refresh(id)), boom)
    })
  )

  it.effect("never replaces a 4xx or 501, and does not read the account", () =>
    Effect.gen(function* () {
      const verdict = new AccountNotFound({ message: "gone" })
      const script = scripted([{ answer: verdict }])
      const accounts = yield* Resilience.fallback().make(script.accounts)
      assertSame(yield* Effect.flip(accounts.refresh(id)), verdict)
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("uses the functions of its options", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }, { answer: reset }])
      const policy = Resilience.fallback({
        when: (error) => error._tag === "RefreshFailed",
        serve: (account, error) => {
          assert.strictEqual(account, script.state.account)
          assert.strictEqual(error, boom)
          return served
        }
      })
      const accounts = yield* policy.make(script.accounts)
      assertSame(yield* accounts.refresh(id), served)
      assertSame(yield* Effect.flip(accounts.refresh(id)), reset)
    })
  )

  it.effect("passes answers, options and reads through, and publishes when it serves", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const script = scripted([{ answer: served }, { answer: boom }])
      const accounts = yield* Resilience.fallback().make(script.accounts)
      assertSame(yield* accounts.refresh(id, { validateCredentials: true }), served)
      assertSame(script.sends[0]?.options, { validateCredentials: true })
      assert.strictEqual(yield* accounts.get(id), script.state.account)
      yield* accounts.refresh(id)
      assertSame(yield* PubSub.takeAll(events), [{ _tag: "FallbackServed", accountId: id, error: "RefreshFailed" }])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.fallback().describe(), [
      { policy: "fallback", options: { when: "no verdict", serve: "ready if active" } }
    ])
    assert.deepStrictEqual(Resilience.fallback({ when: () => true, serve: () => undefined }).describe()[0]?.options, {
      when: "function",
      serve: "function"
    })
  })
})

describe("idempotencyKey", () => {
  it.effect("gives each refresh its own key, the same for all attempts", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }, { answer: ready }])
      const pipeline = Resilience.compose(Resilience.idempotencyKey(), Resilience.retry({ reconcile: false }))
      const accounts = yield* pipeline.make(script.accounts)
      yield* settle(accounts.refresh(id, { validateCredentials: true }))
      yield* settle(accounts.refresh(id))
      const keys = script.sends.map(({ options }) => options?.idempotencyKey)
      assert.strictEqual(keys.length, 3)
      assert.strictEqual(keys[0], keys[1])
      assert.notStrictEqual(keys[0], keys[2])
      for (const key of keys) assert.match(key ?? "", /^[0-9a-f]{32}$/)
      assert.isTrue(script.sends[0]?.options?.validateCredentials)
    })
  )

  it.effect("draws 128 bits from Random, zeros kept", () =>
    Effect.gen(function* () {
      const draws = [0, 1 / 0x1_0000_0000, 0.5, 1 - Number.EPSILON]
      let drawn = 0
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.idempotencyKey().make(script.accounts)
      yield* accounts.refresh(id).pipe(
        Effect.provideService(Random.Random, {
          nextDoubleUnsafe: () => draws[drawn++] ?? 0,
          nextIntUnsafe: () => 0
        })
      )
      assert.strictEqual(script.sends[0]?.options?.idempotencyKey, "000000000000000180000000ffffffff")
    })
  )

  it.effect("keeps the key of the call", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.idempotencyKey().make(script.accounts)
      yield* accounts.refresh(id, { idempotencyKey: "mine" })
      assertSame(script.sends[0]?.options, { idempotencyKey: "mine" })
      assert.strictEqual(yield* accounts.get(id), script.state.account)
    })
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.idempotencyKey().describe(), [{ policy: "idempotency-key", options: {} }])
  })
})

describe("telemetry", () => {
  const recorder = () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return { spans, tracer }
  }
  const freshMetrics = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.provideService(self, Metric.MetricRegistry, new Map())
  const counted = (...of: Parameters<typeof Resilience.Metrics.outcome>) =>
    Effect.map(Metric.value(Resilience.Metrics.outcome(...of)), ({ count }) => count)

  it.effect("makes one span for a refresh, with the field's names and no secrets", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const script = scripted([
        { answer: refused },
        { answer: RedirectRequired.make({ id, redirectUrl: "https://secret.example", status: "ACTIVE" }) }
      ])
      const accounts = yield* Resilience.standard().make(script.accounts)
      yield* settle(accounts.refresh(id).pipe(Effect.withTracer(tracer)))
      assertSame(
        spans.map(({ kind, name }) => ({ name, kind })),
        [{ name: "rekindle.refresh", kind: "client" }]
      )
      assertSame(Object.fromEntries(spans[0]?.attributes ?? []), {
        "rekindle.account.id": id,
        "rekindle.attempts": 2,
        "rekindle.outcome": "RedirectRequired",
        "rekindle.disposition": "answered"
      })
      assert.strictEqual(spans[0]?.status._tag, "Ended")
    })
  )

  it.effect("names the error in the span", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const accounts = yield* Resilience.telemetry().make(scripted([{ answer: boom }]).accounts)
      yield* Effect.flip(accounts.refresh(id)).pipe(Effect.withTracer(tracer))
      assertSame(Object.fromEntries(spans[0]?.attributes ?? []), {
        "rekindle.account.id": id,
        "rekindle.attempts": 0,
        "rekindle.outcome": "RefreshFailed",
        "rekindle.disposition": "ambiguous",
        "error.type": "RefreshFailed"
      })
    })
  )

  it.effect("is the parent of inner spans", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const accounts = yield* Resilience.telemetry().make({
        get: () => Effect.die("not used"),
        refresh: () => Effect.withSpan(Effect.succeed(ready), "inner")
      })
      yield* accounts.refresh(id).pipe(Effect.withTracer(tracer))
      assertSame(
        spans.map(({ name }) => name),
        ["rekindle.refresh", "inner"]
      )
      const parent = spans[1]?.parent
      assert.strictEqual(parent?._tag === "Some" && parent.value, spans[0])
    })
  )

  it.effect("makes no span when tracing is off", () =>
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const accounts = yield* Resilience.telemetry().make(scripted([{ answer: ready }]).accounts)
      yield* accounts
        .refresh(id)
        .pipe(Effect.provideService(References.TracerEnabled, false), Effect.withTracer(tracer))
      assert.strictEqual(spans.length, 0)
    })
  )

  it.effect("makes no span when no tracer is installed", () =>
    Effect.gen(function* () {
      let inside: Tracer.AnySpan | undefined
      const accounts = yield* Resilience.telemetry().make({
        get: () => Effect.die("not used"),
        refresh: () =>
          Effect.withFiber((fiber) => {
            inside = fiber.cache.span
            return Effect.succeed(ready)
          })
      })
      yield* accounts.refresh(id)
      assert.isUndefined(inside)
    })
  )

  it.effect("counts outcomes by tag and disposition, and measures how long they took", () =>
    Effect.gen(function* () {
      const script = scripted([
        { takes: 40, answer: ready },
        { answer: ready },
        { answer: boom },
        { answer: "defect" },
        { answer: "hang" }
      ])
      const accounts = yield* Resilience.telemetry().make(script.accounts)
      yield* settle(accounts.refresh(id))
      yield* accounts.refresh(id)
      yield* Effect.flip(accounts.refresh(id))
      yield* Effect.exit(accounts.refresh(id))
      yield* Fiber.interrupt(yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true }))
      assert.strictEqual(yield* counted("Ready", "answered"), 2)
      assert.strictEqual(yield* counted("RefreshFailed", "ambiguous"), 1)
      assert.strictEqual(yield* counted("Defect", "ambiguous"), 1)
      assert.strictEqual(yield* counted("Interrupted", "ambiguous"), 1)
      assert.strictEqual(yield* counted("RefreshFailed", "rejected"), 0)
      const { count, max, min, sum } = yield* Metric.value(Resilience.Metrics.latency)
      assertSame({ count, max, min, sum }, { count: 5, max: 40, min: 0, sum: 40 })
    }).pipe(freshMetrics)
  )

  it.effect("labels metrics so that they can be told apart, and never by account", () =>
    Effect.gen(function* () {
      const pipeline = Resilience.compose(Resilience.telemetry(), Resilience.retry())
      const accounts = yield* pipeline.make(scripted([{ answer: refused }, { answer: ready }]).accounts)
      yield* settle(accounts.refresh(id))
      const snapshot = yield* Metric.snapshot
      assertSame(
        snapshot
          .map(({ attributes, id }) => [id, attributes ?? {}] as const)
          .toSorted(([a], [b]) => a.localeCompare(b)),
        [
          ["rekindle.refresh.attempts", {}],
          ["rekindle.refresh.duration", {}],
          ["rekindle.refresh.outcomes", { outcome: "Ready", disposition: "answered" }],
          ["rekindle.retries", {}]
        ]
      )
    }).pipe(freshMetrics)
  )

  it("names its metrics", () => {
    const { attempts, circuitTransitions, latency, outcome, queueDepth, retries } = Resilience.Metrics
    assertSame(
      [attempts, retries, latency, queueDepth, outcome("Ready", "answered"), ...Object.values(circuitTransitions)].map(
        ({ attributes, description, id, type }) => [type, id, description, attributes]
      ),
      [
        ["Counter", "rekindle.refresh.attempts", "Sends of a refresh, first attempts and retries", undefined],
        ["Counter", "rekindle.retries", "Retries spent from the retry budget", undefined],
        [
          "Histogram",
          "rekindle.refresh.duration",
          "Milliseconds from the call to its answer, for the caller",
          undefined
        ],
        ["Gauge", "rekindle.bulkhead.queue", "Calls that wait in the queue of a bulkhead", undefined],
        [
          "Counter",
          "rekindle.refresh.outcomes",
          "Finished refreshes by outcome and disposition",
          { outcome: "Ready", disposition: "answered" }
        ],
        ["Counter", "rekindle.circuit.transitions", "Circuit breaker transitions", { to: "Open" }],
        ["Counter", "rekindle.circuit.transitions", "Circuit breaker transitions", { to: "HalfOpen" }],
        ["Counter", "rekindle.circuit.transitions", "Circuit breaker transitions", { to: "Closed" }]
      ]
    )
    assert.strictEqual(outcome("Ready", "answered"), outcome("Ready", "answered"))
  })

  it.effect("passes options and reads through", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.telemetry().make(script.accounts)
      yield* accounts.refresh(id, { idempotencyKey: "k" })
      assertSame(script.sends[0]?.options, { idempotencyKey: "k" })
      assert.strictEqual(yield* accounts.get(id), script.state.account)
    })
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.telemetry().describe(), [{ policy: "telemetry", options: {} }])
  })
})

describe("composition", () => {
  const tag = (name: string, log: Array<string>) =>
    Resilience.policy(name, { name }, (next) =>
      Effect.sync(() => {
        log.push(`make ${name}`)
        return {
          refresh: (id, options) => Effect.suspend(() => (log.push(name), next.refresh(id, options))),
          get: next.get
        }
      })
    )

  it.effect("passes a call through the policies from left to right", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const pipeline = Resilience.compose(tag("a", log), Resilience.compose(tag("b", log), tag("c", log)))
      const accounts = yield* pipeline.make(scripted([{ answer: ready }]).accounts)
      assertSame(log, ["make c", "make b", "make a"])
      yield* accounts.refresh(id)
      assertSame(log.slice(3), ["a", "b", "c"])
      assertSame(pipeline.describe(), [
        { policy: "a", options: { name: "a" } },
        { policy: "b", options: { name: "b" } },
        { policy: "c", options: { name: "c" } }
      ])
      assert.strictEqual(pipeline.name, "pipeline")
    })
  )

  it.effect("of no policies is the provider itself", () =>
    Effect.gen(function* () {
      const { accounts } = scripted([{ answer: ready }])
      assert.strictEqual(yield* Resilience.compose().make(accounts), accounts)
    })
  )

  it.effect("goes around any provider as a layer", () => {
    const log: Array<string> = []
    const provider = Layer.succeed(ConnectedAccounts, scripted([{ answer: ready }]).accounts)
    return Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      yield* accounts.refresh(id)
      assertSame(log, ["make a", "a"])
    }).pipe(Effect.provide(Resilience.layer(tag("a", log)).pipe(Layer.provide(provider))))
  })

  it.effect("says in its type what a policy needs", () => {
    class Motto extends Context.Service<Motto, string>()("test/Motto") {}
    const needy = Resilience.policy("needy", {}, (next) =>
      Effect.map(Motto, (motto) => ({ ...next, get: () => Effect.die(motto) }))
    )
    const pipeline: Resilience.Policy<Motto | Scope.Scope> = Resilience.compose(needy, Resilience.coalesce())
    const layer: Layer.Layer<ConnectedAccounts, never, ConnectedAccounts | Motto> = Resilience.layer(pipeline)
    const provider = Layer.succeed(ConnectedAccounts, scripted([{ answer: ready }]).accounts)
    return Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      assertSame(yield* Effect.exit(accounts.get(id)), Exit.die("be prepared"))
    }).pipe(Effect.provide(layer.pipe(Layer.provide([provider, Layer.succeed(Motto, "be prepared")]))))
  })

  it.effect("takes its stores from layers around it, and sends if they cannot be reached", () => {
    const asked = new Set<string>()
    const lost = (command: string) =>
      Effect.suspend(() => {
        asked.add(command)
        return Effect.fail(new Redis.RedisError({ cause: "lost" }))
      })
    const redis = Redis.make({ send: lost, subscribe: lost, connect: lost("connect") })
    const stores = Layer.mergeAll(Breaker.layerStoreRedis(), Limiter.layerStoreRedis()).pipe(
      Layer.provide(Layer.effect(Redis.Redis, redis))
    )
    const provider = Layer.succeed(ConnectedAccounts, scripted([{ answer: ready }]).accounts)
    const limited = (options: Resilience.StandardOptions) =>
      Resilience.layer(Resilience.standard(options)).pipe(Layer.provide([provider, stores]))
    const refresh = ConnectedAccounts.use((accounts) => accounts.refresh(id))
    return Effect.gen(function* () {
      assertSame(yield* Effect.provide(refresh, limited({})), ready)
      assertSame([...asked], ["SCRIPT"])
      asked.clear()
      const rateLimit = { limit: 1, window: "1 hour" } as const
      assertSame(yield* Effect.provide(refresh, limited({ circuitBreaker: false, rateLimit })), ready)
      assertSame([...asked], ["SCRIPT"])
    })
  })

  it("has a standard order", () => {
    const names = (options?: Resilience.StandardOptions) =>
      Resilience.standard(options)
        .describe()
        .map(({ policy }) => policy)
    assert.deepStrictEqual(names(), [
      "telemetry",
      "deadline",
      "coalesce",
      "retry",
      "bulkhead",
      "circuit-breaker",
      "attempt-timeout"
    ])
    assert.deepStrictEqual(names({ honoursIdempotencyKeys: true, rateLimit: { limit: 1, window: 1 } }), [
      "telemetry",
      "deadline",
      "coalesce",
      "idempotency-key",
      "retry",
      "rate-limit",
      "bulkhead",
      "circuit-breaker",
      "attempt-timeout"
    ])
    assert.deepStrictEqual(names({ retry: false, circuitBreaker: false, honoursIdempotencyKeys: false }), [
      "telemetry",
      "deadline",
      "coalesce",
      "bulkhead",
      "attempt-timeout"
    ])
  })

  it("has standard options, each of which can be set", () => {
    const options = (given?: Resilience.StandardOptions) =>
      Object.fromEntries(
        Resilience.standard(given)
          .describe()
          .map(({ options, policy }) => [policy, options])
      )
    const defaults = options()
    assertSame(defaults["deadline"], { timeout: 30_000 })
    assertSame(defaults["coalesce"], { maxFlight: 30_000 })
    assertSame(defaults["bulkhead"], { concurrency: 256, queue: 1_024 })
    assertSame(defaults["attempt-timeout"], { timeout: 10_000 })
    assertSame(defaults["retry"], Resilience.retry().describe()[0]?.options)
    assertSame(defaults["circuit-breaker"], Resilience.circuitBreaker().describe()[0]?.options)
    const given = options({
      timeout: 7,
      attemptTimeout: 3,
      retry: { maxAttempts: 9 },
      circuitBreaker: { name: "n" },
      bulkhead: { concurrency: 1 },
      rateLimit: { limit: 4, window: 5 }
    })
    assertSame(given["deadline"], { timeout: 7 })
    assertSame(given["coalesce"], { maxFlight: 7 })
    assertSame(given["attempt-timeout"], { timeout: 3 })
    assertSame(given["bulkhead"], { concurrency: 1, queue: 0 })
    assert.strictEqual(given["retry"]?.["maxAttempts"], 9)
    assert.strictEqual(given["circuit-breaker"]?.["name"], "n")
    assert.strictEqual(given["rate-limit"]?.["limit"], 4)
  })
})

describe("events", () => {
  it.effect("are off by default", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* Resilience.Events)
    })
  )

  it.effect("arrive as a stream, also when a deadline passes", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const listener = yield* Effect.forkChild(Stream.runCollect(Stream.take(bus.stream, 2)), {
        startImmediately: true
      })
      const pipeline = Resilience.compose(Resilience.deadline(20), Resilience.attemptTimeout(10))
      const accounts = yield* pipeline.make(scripted([{ answer: "hang" }]).accounts)
      yield* settle(accounts.refresh(id))
      const reads = scripted([{ answer: ready }], { reads: ["hang"] })
      yield* settle((yield* Resilience.deadline(20).make(reads.accounts)).get(id))
      assertSame(yield* Fiber.join(listener), [
        { _tag: "DeadlinePassed", accountId: id, policy: "attempt-timeout", timeout: 10 },
        { _tag: "DeadlinePassed", accountId: id, policy: "deadline", timeout: 20 }
      ])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it.effect("never delay a refresh: a slow subscriber loses the oldest", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      for (let key = 0; key < 300; key++) {
        bus.publish({ _tag: "CircuitChanged", key: String(key), from: "Closed", to: "Open" })
      }
      const kept = yield* PubSub.takeAll(events)
      assert.strictEqual(kept.length, 256)
      assert.strictEqual(kept[0]?._tag === "CircuitChanged" && kept[0].key, "44")
    }).pipe(Effect.provide(Resilience.layerEvents))
  )
})

describe("reconfigurable", () => {
  const stage = (name: string, log: Array<string>) =>
    Resilience.policy(name, {}, (next) =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => Effect.sync(() => void log.push(`released ${name}`)))
        return {
          get: (id) => Effect.suspend(() => (log.push(`${name} get`), next.get(id))),
          refresh: (id, options) => Effect.suspend(() => (log.push(name), next.refresh(id, options)))
        }
      })
    )

  it.effect("uses the new pipeline for new calls, and releases the old one at once if it is idle", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const handle = Resilience.reconfigurable(stage("old", log))
      const accounts = yield* handle.policy.make(scripted([{ answer: ready }]).accounts)
      yield* accounts.refresh(id)
      yield* handle.swap(stage("new", log))
      yield* accounts.refresh(id)
      yield* accounts.get(id)
      assertSame(log, ["old", "released old", "new", "new get"])
    })
  )

  it.effect("releases the old pipeline after its calls in flight", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const handle = Resilience.reconfigurable(stage("old", log))
      const script = scripted([{ takes: 100, answer: ready }, { takes: 200, answer: boom }, { answer: ready }])
      const accounts = yield* handle.policy.make(script.accounts)
      const first = yield* Effect.forkChild(timed(accounts.refresh(id)), { startImmediately: true })
      const second = yield* Effect.forkChild(timed(accounts.refresh(id)), { startImmediately: true })
      yield* handle.swap(stage("new", log))
      yield* accounts.refresh(id)
      assertSame(log, ["old", "old", "new"])
      yield* TestClock.adjust(100)
      assertSame(yield* Fiber.join(first), { exit: Exit.succeed(ready), at: 100 })
      assertSame(log.length, 3)
      yield* TestClock.adjust(100)
      assertSame(yield* Fiber.join(second), { exit: Exit.fail(boom), at: 200 })
      assertSame(log.slice(3), ["released old"])
    })
  )

  it.effect("applies to every layer made from it, until that layer closes", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const handle = Resilience.reconfigurable(stage("old", log))
      const { accounts: provider } = scripted([{ answer: ready }])
      const one = yield* handle.policy.make(provider)
      const scope = yield* Scope.make()
      const two = yield* Scope.provide(handle.policy.make(provider), scope)
      yield* handle.swap(stage("new", log))
      yield* one.refresh(id)
      yield* two.refresh(id)
      assertSame(log, ["released old", "released old", "new", "new"])
      yield* Scope.close(scope, Exit.void)
      assertSame(log.slice(4), ["released new"])
      yield* handle.swap(stage("newer", log))
      assertSame(log.slice(5), ["released new"])
      const three = yield* handle.policy.make(provider)
      yield* three.refresh(id)
      assertSame(log.slice(6), ["newer"])
    })
  )

  it.effect("delays neither the last caller nor the swap for the release of the old pipeline", () =>
    Effect.gen(function* () {
      const handle = Resilience.reconfigurable(
        Resilience.compose(Resilience.deadline("1 second"), Resilience.coalesce())
      )
      const script = scripted([{ takes: 60_000, answer: ready, stubborn: true }])
      const scope = yield* Scope.make()
      const accounts = yield* Scope.provide(handle.policy.make(script.accounts), scope)
      const caller = yield* Effect.forkChild(timed(accounts.refresh(id)), { startImmediately: true })
      yield* handle.swap(Resilience.deadline("1 second"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(caller)).at, 1_000)

      yield* handle.swap(Resilience.compose(Resilience.deadline("1 second"), Resilience.coalesce()))
      const second = yield* Effect.forkChild(timed(accounts.refresh(id)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(second)
      const swap = yield* Effect.forkChild(timed(handle.swap(Resilience.compose())), { startImmediately: true })
      // The layer, however, does not close before the provider is done.
      const closing = yield* Effect.forkChild(timed(Scope.close(scope, Exit.void)), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(swap)).at, 2_000)
      assert.strictEqual((yield* Fiber.join(closing)).at, 61_000)
      assert.isTrue(script.sends.every(({ ended }) => ended === "answered"))
    })
  )

  it.effect("does not miss a swap that comes while a layer is being made", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const slow = Resilience.policy("slow", {}, (next) => Effect.as(Effect.sleep("1 second"), next))
      const handle = Resilience.reconfigurable<Scope.Scope>(slow)
      const script = scripted([{ answer: ready }])
      const making = yield* Effect.forkChild(handle.policy.make(script.accounts), { startImmediately: true })
      const swapping = yield* Effect.forkChild(handle.swap(stage("new", log)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(swapping)
      yield* (yield* Fiber.join(making)).refresh(id)
      assertSame(log, ["new"])
    })
  )

  it.effect("describes the present pipeline", () =>
    Effect.gen(function* () {
      const handle = Resilience.reconfigurable(Resilience.deadline(1))
      assert.strictEqual(handle.policy.name, "reconfigurable")
      assertSame(handle.policy.describe(), Resilience.deadline(1).describe())
      yield* handle.swap(Resilience.deadline(2))
      assertSame(handle.policy.describe(), Resilience.deadline(2).describe())
    })
  )
})
