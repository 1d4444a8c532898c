import { Resilience, RefusedLocally } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, DateTime, Duration, Effect, Exit, Fiber, Layer, Metric, PubSub } from "effect"
import * as Limiter from "effect/persistence/RateLimiter"
import { TestClock } from "effect/testing"
import { boom, id, otherId, ready, assertSame, scripted, settle, timed } from "./script.ts"

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(timed(effect), { startImmediately: true })

describe("bulkhead", () => {
  const full = new RefusedLocally({
    message: "The bulkhead is full: 2 in flight, 1 waiting",
    reason: "queue-full"
  })

  it.effect("limits the calls in flight, queues further ones in order, and refuses the next at once", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.bulkhead({ concurrency: 2, queue: 1 }).make(script.accounts)
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () => start(accounts.refresh(id)))
      yield* TestClock.adjust("1 hour")
      const ends = yield* Effect.forEach(fibers, Fiber.join)
      assertSame(ends, [
        { exit: Exit.succeed(ready), at: 100 },
        { exit: Exit.succeed(ready), at: 100 },
        { exit: Exit.succeed(ready), at: 200 },
        { exit: Exit.fail(full), at: 0 }
      ])
      assertSame(
        script.sends.map(({ at }) => at),
        [0, 0, 100]
      )
    })
  )

  it.effect("has no queue by default", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const accounts = yield* Resilience.bulkhead({ concurrency: 1 }).make(script.accounts)
      yield* start(accounts.refresh(id))
      assert.strictEqual((yield* Effect.flip(accounts.refresh(id)))._tag, "RefusedLocally")
    })
  )

  it.effect("frees the place of a call however it ends", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }, { answer: "defect" }, { answer: "hang" }, { answer: ready }])
      const accounts = yield* Resilience.bulkhead({ concurrency: 1 }).make(script.accounts)
      yield* Effect.exit(accounts.refresh(id))
      yield* Effect.exit(accounts.refresh(id))
      yield* Fiber.interrupt(yield* start(accounts.refresh(id)))
      assertSame(yield* accounts.refresh(id), ready)
    })
  )

  it.effect("frees the place in the queue of a caller who leaves", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.bulkhead({ concurrency: 1, queue: 1 }).make(script.accounts)
      yield* start(accounts.refresh(id))
      const waiting = yield* start(accounts.refresh(id))
      yield* Fiber.interrupt(waiting)
      const next = yield* start(accounts.refresh(otherId))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(next)).at, 200)
      assertSame(
        script.sends.map((send) => send.id),
        [id, otherId]
      )
    })
  )

  it.effect("counts reads as well", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }], { reads: ["hang"] })
      const accounts = yield* Resilience.bulkhead({ concurrency: 1 }).make(script.accounts)
      yield* start(accounts.get(id))
      assert.strictEqual((yield* Effect.flip(accounts.refresh(id)))._tag, "RefusedLocally")
      assert.strictEqual((yield* Effect.flip(accounts.get(id)))._tag, "RefusedLocally")
    })
  )

  it.effect("measures the calls in its queue", () =>
    Effect.gen(function* () {
      const depth = Effect.map(Metric.value(Resilience.Metrics.queueDepth), ({ value }) => value)
      const script = scripted([{ takes: 100, answer: ready }])
      const accounts = yield* Resilience.bulkhead({ concurrency: 1, queue: 3 }).make(script.accounts)
      yield* start(accounts.refresh(id))
      assert.strictEqual(yield* depth, 0)
      yield* start(accounts.refresh(id))
      const leaving = yield* start(accounts.refresh(id))
      yield* start(accounts.refresh(id))
      assert.strictEqual(yield* depth, 3)
      yield* Fiber.interrupt(leaving)
      assert.strictEqual(yield* depth, 2)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* depth, 1)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* depth, 0)
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* depth, 0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("measures the queues of all bulkheads together, also if a call leaves at its turn", () =>
    Effect.gen(function* () {
      const depth = Effect.map(Metric.value(Resilience.Metrics.queueDepth), ({ value }) => value)
      const script = scripted([{ takes: 100, answer: ready }])
      const one = yield* Resilience.bulkhead({ concurrency: 1, queue: 3 }).make(script.accounts)
      const two = yield* Resilience.bulkhead({ concurrency: 1, queue: 3 }).make(script.accounts)
      const holder = yield* start(one.refresh(id))
      const leaving = yield* start(one.refresh(id))
      yield* start(two.refresh(id))
      yield* start(two.refresh(id))
      assert.strictEqual(yield* depth, 2)
      holder.interruptUnsafe()
      leaving.interruptUnsafe()
      yield* Fiber.await(leaving)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* depth, 0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("publishes whom it refuses", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const accounts = yield* Resilience.bulkhead({ concurrency: 0 }).make(scripted([{ answer: ready }]).accounts)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* PubSub.takeAll(events), [{ _tag: "Refused", accountId: id, reason: "queue-full" }])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.bulkhead({ concurrency: 3 }).describe(), [
      { policy: "bulkhead", options: { concurrency: 3, queue: 0 } }
    ])
  })
})

describe("rateLimit", () => {
  const sends = (script: ReturnType<typeof scripted>) => script.sends.map(({ at }) => at)
  const burst = (accounts: Resilience.Accounts, calls: number) =>
    settle(
      Effect.all(
        Array.from({ length: calls }, () => accounts.refresh(id)),
        { concurrency: "unbounded" }
      )
    )

  it.effect("lets a burst through and then spaces calls out", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 2, window: "1 second" }).make(script.accounts)
      yield* burst(accounts, 5)
      assertSame(sends(script), [0, 0, 500, 1_000, 1_500])
    })
  )

  it.effect("counts by the clock with a fixed window", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const policy = Resilience.rateLimit({ limit: 2, window: "1 second", algorithm: "fixed-window" })
      yield* burst(yield* policy.make(script.accounts), 5)
      assertSame(sends(script), [0, 0, 1_000, 1_000, 2_000])
    })
  )

  it.effect("refuses at once a call that would wait past its deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      yield* accounts.refresh(id)
      const late = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(1_000) }))
      assertSame(late, {
        exit: Exit.fail(
          new RefusedLocally({
            message: "More than 1 calls in 1000 ms",
            reason: "rate-limited",
            retryAfter: Duration.millis(1_000)
          })
        ),
        at: 0
      })
    })
  )

  it.effect("waits if the turn comes before the deadline", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      yield* TestClock.adjust("1 minute")
      yield* accounts.refresh(id)
      const { at } = yield* settle(accounts.refresh(id, { deadline: DateTime.makeUnsafe(61_001) }))
      assert.strictEqual(at, 61_000)
      yield* accounts.refresh(id)
      const now = yield* Clock.currentTimeMillis
      const error = yield* Effect.flip(accounts.refresh(id, { deadline: DateTime.makeUnsafe(now + 999) }))
      assert.strictEqual(error._tag, "RefusedLocally")
    })
  )

  it.effect("refuses a wait longer than maxDelay", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const policy = Resilience.rateLimit({ limit: 1, window: "1 second", maxDelay: "1 second" })
      const accounts = yield* policy.make(script.accounts)
      yield* accounts.refresh(id)
      const [second, third] = yield* Effect.all([start(accounts.refresh(id)), start(accounts.refresh(id))])
      yield* TestClock.adjust("1 hour")
      assertSame(yield* Fiber.join(second), { exit: Exit.succeed(ready), at: 1_000 })
      assert.isTrue(Exit.isFailure((yield* Fiber.join(third)).exit))
    })
  )

  it.effect.each(["token-bucket", "fixed-window"] as const)(
    "is not blocked for hours by a crowd that it refused (%s)",
    (algorithm) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: ready }])
        const policy = Resilience.rateLimit({ limit: 1, window: "1 second", maxDelay: "2 seconds", algorithm })
        const accounts = yield* policy.make(script.accounts)
        yield* Effect.forEach(Array.from({ length: 1_000 }), () => start(accounts.refresh(id)))
        yield* TestClock.adjust("10 seconds")
        assertSame(sends(script), [0, 1_000, 2_000])
        const next = yield* start(accounts.refresh(id))
        yield* TestClock.adjust("10 seconds")
        assertSame(yield* Fiber.join(next), { exit: Exit.succeed(ready), at: 10_000 })
      })
  )

  it.effect("gives the turn of a refused call to a call that can wait for it", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      const hasty = accounts.refresh(id, { deadline: DateTime.makeUnsafe(500) })
      yield* accounts.refresh(id)
      for (let call = 0; call < 3; call++) {
        const error = yield* Effect.flip(hasty)
        assertSame("retryAfter" in error && error.retryAfter, Duration.seconds(1))
      }
      assert.strictEqual((yield* settle(accounts.refresh(id))).at, 1_000)
    })
  )

  it.effect("keeps the limit of each account until it is full again", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const policy = Resilience.rateLimit({ limit: 2, window: "1 second", maxDelay: 0, key: "account" })
      const accounts = yield* policy.make(script.accounts)
      const taken = Effect.map(Effect.exit(accounts.refresh(id)), Exit.isSuccess)
      assertSame([yield* taken, yield* taken, yield* taken], [true, true, false])
      yield* TestClock.adjust(999)
      assertSame([yield* taken, yield* taken], [true, false])
      yield* TestClock.adjust(999)
      assertSame([yield* taken, yield* taken, yield* taken], [true, true, false])
    })
  )

  it.effect("passes on the turns of callers who leave, each once", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      const crowd = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => index),
        () => start(accounts.refresh(id))
      )
      yield* TestClock.adjust(500)
      const stays = crowd[3]
      assert.isDefined(stays)
      const leaving = [...crowd.slice(0, 50).toReversed(), ...crowd.slice(50)].filter((fiber) => fiber !== stays)
      for (const fiber of leaving) yield* Fiber.interrupt(fiber)
      const [next, second, third] = yield* Effect.all([
        start(accounts.refresh(otherId)),
        start(accounts.refresh(otherId)),
        start(accounts.refresh(otherId))
      ])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(next)).at, 1_000)
      assert.strictEqual((yield* Fiber.join(second)).at, 2_000)
      assert.strictEqual((yield* Fiber.join(stays)).at, 3_000)
      assert.strictEqual((yield* Fiber.join(third)).at, 4_000)
      assertSame(sends(script), [0, 1_000, 2_000, 3_000, 4_000])
    })
  )

  it.effect("allows unused turns later, but only those of its window", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      const crowd = yield* Effect.forEach(Array.from({ length: 11 }), () => start(accounts.refresh(id)))
      for (const fiber of crowd.slice(0, -1)) yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(9_500)
      yield* start(accounts.refresh(id))
      yield* start(accounts.refresh(id))
      yield* TestClock.adjust("1 hour")
      assertSame(sends(script), [0, 9_500, 10_000, 11_000])
    })
  )

  it.effect("keeps a limit as long as its turns are taken", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      for (let call = 0; call < 6; call++) yield* start(accounts.refresh(id))
      yield* TestClock.adjust(3_500)
      assert.strictEqual((yield* settle(accounts.refresh(id))).at, 6_000)
      assertSame(sends(script), [0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000])
    })
  )

  it.effect("counts reads, and all accounts together", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 second" }).make(script.accounts)
      yield* accounts.refresh(otherId)
      yield* settle(accounts.get(id))
      assertSame(script.reads, [1_000])
    })
  )

  it.effect("counts each account separately with key: account", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const policy = Resilience.rateLimit({ limit: 1, window: "1 second", key: "account" })
      const accounts = yield* policy.make(script.accounts)
      yield* accounts.refresh(otherId)
      yield* accounts.refresh(id)
      assert.strictEqual((yield* settle(accounts.refresh(id))).at, 1_000)
    })
  )

  it.effect("shares nothing with another pipeline of the program without a store", () => {
    const script = scripted([{ answer: ready }])
    class One extends Context.Service<One, Resilience.Accounts>()("test/One") {}
    class Two extends Context.Service<Two, Resilience.Accounts>()("test/Two") {}
    const limit = Resilience.rateLimit({ limit: 1, window: "1 hour", maxDelay: 0 })
    const both = Layer.mergeAll(
      Layer.effect(One, limit.make(script.accounts)),
      Layer.effect(Two, limit.make(script.accounts))
    ).pipe(Layer.provideMerge(Limiter.layer.pipe(Layer.provide(Limiter.layerStoreMemory))))
    return Effect.gen(function* () {
      assertSame(yield* (yield* One).refresh(id), ready)
      assertSame(yield* (yield* Two).refresh(id), ready)
    }).pipe(Effect.provide(both))
  })

  it.effect("uses the store it is given, by name", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const limit = { limit: 1, window: "1 second" } as const
      const one = yield* Resilience.rateLimit(limit).make(script.accounts)
      const twin = yield* Resilience.rateLimit(limit).make(script.accounts)
      const other = yield* Resilience.rateLimit({ ...limit, name: "other" }).make(script.accounts)
      yield* one.refresh(id)
      yield* other.refresh(id)
      assert.strictEqual((yield* settle(twin.refresh(id))).at, 1_000)
    }).pipe(Effect.provide(Limiter.layerStoreMemory))
  )

  it.effect("lets calls pass when the store is out of reach", () => {
    const lost = Effect.fail(
      new Limiter.RateLimiterError({ reason: new Limiter.RateLimitStoreError({ message: "lost" }) })
    )
    const store = Layer.succeed(Limiter.RateLimiterStore, {
      fixedWindow: () => lost,
      tokenBucket: () => lost,
      adaptiveConsume: () => lost,
      adaptiveFeedback: () => lost
    })
    return Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.rateLimit({ limit: 1, window: "1 hour" }).make(script.accounts)
      yield* accounts.refresh(id)
      assertSame(yield* accounts.refresh(id), ready)
    }).pipe(Effect.provide(store))
  })

  it.effect("is not-sent if the deadline passes while it waits", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }], {})
      const pipeline = Resilience.compose(
        Resilience.deadline("10 seconds"),
        Resilience.policy("no deadline", {}, (next) => Effect.succeed({ ...next, refresh: (id) => next.refresh(id) })),
        Resilience.rateLimit({ limit: 1, window: "9 seconds" })
      )
      const accounts = yield* pipeline.make(script.accounts)
      const fibers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(Effect.flip(accounts.refresh(id)), { startImmediately: true })
      )
      yield* TestClock.adjust("1 hour")
      const errors = yield* Effect.forEach(fibers, Fiber.join)
      assertSame(
        errors.map(({ disposition }) => disposition),
        ["ambiguous", "ambiguous", "not-sent"]
      )
    })
  )

  it.effect("publishes whom it refuses", () =>
    Effect.gen(function* () {
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const policy = Resilience.rateLimit({ limit: 1, window: "1 second", maxDelay: 0 })
      const accounts = yield* policy.make(scripted([{ answer: ready }]).accounts)
      yield* accounts.refresh(id)
      yield* Effect.flip(accounts.refresh(id))
      assertSame(yield* PubSub.takeAll(events), [{ _tag: "Refused", accountId: id, reason: "rate-limited" }])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.rateLimit({ limit: 5, window: "1 second" }).describe(), [
      {
        policy: "rate-limit",
        options: {
          limit: 5,
          window: 1_000,
          algorithm: "token-bucket",
          name: "rekindle",
          key: "provider",
          maxDelay: null
        }
      }
    ])
    assert.deepStrictEqual(
      Resilience.rateLimit({
        limit: 5,
        window: 7,
        algorithm: "fixed-window",
        name: "n",
        key: "account",
        maxDelay: 3
      }).describe()[0]?.options,
      { limit: 5, window: 7, algorithm: "fixed-window", name: "n", key: "account", maxDelay: 3 }
    )
  })
})
