/**
 * What holds under every schedule of faults. Each law runs over `runs` random schedules of a provider that refuses, loses requests,
 * loses answers after committing, hangs and does not listen; time is virtual.
 */
import {
  ConnectedAccountId,
  NotReady,
  RateLimited,
  type RefreshError,
  type RefreshOutcome,
  Resilience,
  Unavailable
} from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, DateTime, Duration, Effect, Exit, Fiber, Layer, Option, Schema } from "effect"
import * as Breaker from "effect/persistence/CircuitBreaker"
import { TestClock } from "effect/testing"
import { boom, id, otherId, ready, refused, reset, assertSame, scripted, type Step, timed } from "./script.ts"

const runs = 300
const law = { arbitrary: { runs } }

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Fault = Schema.Struct({
  takes: between(0, 15_000),
  commits: Schema.Boolean,
  stubborn: Schema.Boolean,
  answer: Schema.Literals(["ready", "ready", "not-ready", "refused", "reset", "boom", "busy", "limited", "hang"])
})
type Fault = typeof Fault.Type

const answers = {
  ready,
  refused,
  reset,
  boom,
  hang: "hang",
  "not-ready": NotReady.make({ id, status: "INITIATED" }),
  busy: new Unavailable({ message: "busy", retryAfter: Duration.seconds(2) }),
  limited: new RateLimited({ message: "limited", retryAfter: Duration.days(1) })
} as const

const stepOf = ({ answer, commits, stubborn, takes }: Fault): Step => ({
  takes,
  stubborn,
  answer: answers[answer],
  ...(commits ? { commits: "ACTIVE" } : undefined)
})

const Schedule = Schema.Array(Fault).check(Schema.isMinLength(1), Schema.isMaxLength(8))

/** Starts each call at its time, lets an hour pass, and gives what became of each. */
const play = <A, E>(calls: ReadonlyArray<{ readonly at: number; readonly effect: Effect.Effect<A, E> }>) =>
  Effect.gen(function* () {
    const fibers = yield* Effect.forEach(calls, ({ at, effect }) =>
      Effect.forkChild(Effect.andThen(Effect.sleep(at), timed(effect)), { startImmediately: true })
    )
    yield* TestClock.adjust("1 hour")
    return yield* Effect.forEach(fibers, Fiber.join)
  })

describe(`over ${runs} random fault schedules each`, () => {
  it.effect.prop(
    "a circuit of one's own, which its store is spared while it is calm, opens and closes as one in a shared store does",
    {
      tripPolicy: Schema.Literals([1, 2, 3, 4]),
      calls: Schema.Array(
        Schema.Struct({
          wait: Schema.Literals([0, 0, 1, 20_000, 50_000]),
          answer: Schema.Literals(["ready", "ready", "ready", "boom", "limited"])
        })
      ).check(Schema.isMinLength(1), Schema.isMaxLength(60))
    },
    ({ calls, tripPolicy }) =>
      Effect.gen(function* () {
        const policy = Resilience.circuitBreaker({
          tripPolicy:
            tripPolicy < 3
              ? Breaker.consecutive(tripPolicy)
              : Breaker.rate({ threshold: 0.5, size: tripPolicy + 3, minimumCalls: tripPolicy })
        })
        let answer: Exit.Exit<RefreshOutcome, RefreshError> = Exit.succeed(ready)
        const provider: Resilience.Accounts = {
          refresh: () => Effect.suspend(() => answer),
          get: () => Effect.die("not used here")
        }
        const own = yield* policy.make(provider)
        const store = Context.get(yield* Layer.build(Breaker.layerStoreMemory()), Breaker.CircuitBreakerStore)
        const shared = yield* Effect.provideService(policy.make(provider), Breaker.CircuitBreakerStore, store)
        for (const call of calls) {
          yield* TestClock.adjust(call.wait)
          const next = answers[call.answer]
          answer = "disposition" in next ? Exit.fail(next) : Exit.succeed(next)
          assertSame(yield* Effect.exit(own.refresh(id)), yield* Effect.exit(shared.refresh(id)))
        }
      }),
    law
  )

  it.effect.prop(
    "sends never exceed the budget: at most the calls, the reserve and the ratio's share",
    {
      schedule: Schedule,
      starts: Schema.Array(between(0, 60_000)).check(Schema.isMinLength(1), Schema.isMaxLength(12)),
      ratio: Schema.Literals([0, 0.1, 0.5, 1]),
      reserve: between(0, 5),
      maxAttempts: between(1, 6)
    },
    ({ maxAttempts, ratio, reserve, schedule, starts }) =>
      Effect.gen(function* () {
        const script = scripted(schedule.map(stepOf))
        const pipeline = Resilience.compose(
          Resilience.idempotencyKey(),
          Resilience.retry({ maxAttempts, budget: { ratio, reserve } }),
          Resilience.attemptTimeout("10 seconds")
        )
        const accounts = yield* pipeline.make(script.accounts)
        yield* play(starts.map((at) => ({ at, effect: accounts.refresh(id) })))
        assert.isAtMost(script.sends.length, starts.length + reserve + Math.floor(ratio * starts.length))
        assert.isAtMost(script.sends.length, starts.length * maxAttempts)
      }).pipe(Effect.scoped),
    law
  )

  it.effect.prop(
    "what may have been carried out is sent again only right after a reading, or with a key, and never said not to have been",
    {
      schedule: Schedule,
      reads: Schema.Array(Schema.Boolean),
      keyed: Schema.Boolean,
      baseline: Schema.Literals(["clock", "read"])
    },
    ({ baseline, keyed, reads, schedule }) =>
      Effect.gen(function* () {
        const script = scripted(schedule.map(stepOf))
        const log: Array<"send" | "ambiguous" | "other" | "looked"> = []
        let read = 0
        const observe = Resilience.policy("observe", {}, (next) =>
          Effect.succeed({
            refresh: (id, options) =>
              Effect.suspend(() => {
                log.push("send")
                return Effect.tapError(next.refresh(id, options), (error) =>
                  Effect.sync(() => void log.push(error.disposition === "ambiguous" ? "ambiguous" : "other"))
                )
              }),
            get: (id) =>
              Effect.suspend(() =>
                reads[read++] === false
                  ? Effect.fail(reset)
                  : Effect.tap(next.get(id), () => Effect.sync(() => void log.push("looked")))
              )
          })
        )
        const pipeline = Resilience.compose(
          Resilience.deadline("2 minutes"),
          Resilience.retry({ maxAttempts: 6, budget: false, reconcile: { baseline } }),
          observe,
          Resilience.attemptTimeout("10 seconds")
        )
        const accounts = yield* pipeline.make(script.accounts)
        const effect = accounts.refresh(id, keyed ? { idempotencyKey: "key" } : undefined)
        const [end] = yield* play([{ at: 0, effect }])
        const doubt = log.indexOf("ambiguous")
        if (keyed || doubt === -1) return
        for (const [index, entry] of log.entries()) {
          if (index > doubt && entry === "send") assert.strictEqual(log[index - 1], "looked")
        }
        const error = end === undefined ? Option.none() : Exit.findErrorOption(end.exit)
        if (Option.isSome(error)) assert.strictEqual(error.value.disposition, "ambiguous")
      }).pipe(Effect.scoped),
    law
  )

  it.effect.prop(
    "an ambiguous attempt that committed in time is never followed by another send",
    { schedule: Schedule },
    ({ schedule }) =>
      Effect.gen(function* () {
        const script = scripted(schedule.map(stepOf))
        const committed: Array<number> = []
        const observe = Resilience.policy("observe", {}, (next) =>
          Effect.succeed({
            get: next.get,
            refresh: (id, options) =>
              Effect.gen(function* () {
                const before = script.state.account
                return yield* Effect.tapError(next.refresh(id, options), (error) =>
                  Effect.sync(() => {
                    if (error.disposition === "ambiguous" && script.state.account !== before) {
                      committed.push(script.sends.length)
                    }
                  })
                )
              })
          })
        )
        const pipeline = Resilience.compose(
          Resilience.retry({ maxAttempts: 6, budget: false }),
          observe,
          Resilience.attemptTimeout("10 seconds")
        )
        const accounts = yield* pipeline.make(script.accounts)
        yield* TestClock.adjust("1 hour")
        yield* play([{ at: 0, effect: accounts.refresh(id) }])
        for (const sends of committed) assert.strictEqual(script.sends.length, sends)
      }).pipe(Effect.scoped),
    law
  )

  it.effect.prop(
    "no call takes longer than its deadline",
    {
      schedule: Schedule,
      calls: Schema.Array(
        Schema.Struct({ at: between(0, 30_000), other: Schema.Boolean, redirect: Schema.Boolean })
      ).check(Schema.isMinLength(1), Schema.isMaxLength(10)),
      timeout: between(1, 40_000),
      concurrency: between(1, 3)
    },
    ({ calls, concurrency, schedule, timeout }) =>
      Effect.gen(function* () {
        const script = scripted(schedule.map(stepOf))
        const pipeline = Resilience.standard({
          timeout,
          bulkhead: { concurrency, queue: 2 },
          rateLimit: { limit: 2, window: "3 seconds" }
        })
        const accounts = yield* pipeline.make(script.accounts)
        const began = yield* Clock.currentTimeMillis
        const ends = yield* play(
          calls.map(({ at, other, redirect }) => ({
            at,
            effect: accounts.refresh(
              other ? otherId : id,
              redirect ? { redirectUrl: "https://app.example" } : undefined
            )
          }))
        )
        for (const [index, { at }] of ends.entries()) {
          assert.isAtMost(at - began, (calls[index]?.at ?? 0) + timeout)
        }
      }).pipe(Effect.scoped),
    law
  )

  it.effect.prop(
    "a rate limit lets no more through in any stretch of time than a bucket holds and gets, and blocks nobody for long",
    {
      calls: Schema.Array(
        Schema.Struct({ at: between(0, 6_000), patience: between(0, 4_000), leaves: Schema.Boolean })
      ).check(Schema.isMinLength(1), Schema.isMaxLength(40)),
      limit: between(1, 4)
    },
    ({ calls, limit }) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: ready }])
        const window = 1_000
        const accounts = yield* Resilience.rateLimit({ limit, window }).make(script.accounts)
        const began = yield* Clock.currentTimeMillis
        yield* play(
          calls.map(({ at, leaves, patience }) => ({
            at,
            effect: leaves
              ? Effect.asVoid(Effect.timeoutOption(accounts.refresh(id), patience))
              : Effect.asVoid(accounts.refresh(id, { deadline: DateTime.makeUnsafe(began + at + patience) }))
          }))
        )
        const sent = script.sends.map(({ at }) => at)
        for (const [index, from] of sent.entries()) {
          for (const [more, to] of sent.slice(index).entries()) {
            assert.isAtMost(more + 1, limit + Math.floor((to - from) / (window / limit)) + 1)
          }
        }
        yield* TestClock.adjust(10 * window)
        const last = yield* accounts.refresh(id)
        assertSame(last, ready)
      }).pipe(Effect.scoped),
    law
  )

  const Crowd = Schema.Array(
    Schema.Struct({
      at: between(0, 10_000),
      who: between(0, 2),
      leavesAfter: between(0, 20_000),
      leaves: Schema.Boolean
    })
  ).check(Schema.isMinLength(1), Schema.isMaxLength(20))
  const who = [id, otherId, ConnectedAccountId.make("ca_-l3FzWqTw58L")]

  it.effect.prop(
    "a flight answers each of its waiters once, and no caller's leaving ends another's flight",
    { calls: Crowd, half: between(0, 5_000), fails: Schema.Boolean },
    ({ calls, fails, half }) =>
      Effect.gen(function* () {
        // Calls come at even milliseconds and flights land at odd ones, so that no two things happen at one moment in an order of chance.
        const crowd = calls.map((call) => ({ ...call, at: 2 * call.at }))
        const takes = 2 * half + 1
        const script = scripted([{ takes, answer: fails ? boom : ready }])
        const accounts = yield* Resilience.coalesce({ maxFlight: "1 minute" }).make(script.accounts)
        const began = yield* Clock.currentTimeMillis
        const answered = crowd.map(() => 0)
        const fibers = yield* Effect.forEach(crowd, ({ at, leaves, leavesAfter, who: index }, caller) =>
          Effect.forkChild(
            Effect.sleep(at).pipe(
              Effect.andThen(
                Effect.suspend(() =>
                  timed(
                    Effect.onExit(accounts.refresh(who[index] ?? id), () =>
                      Effect.sync(() => void (answered[caller] = (answered[caller] ?? 0) + 1))
                    )
                  )
                )
              ),
              leaves ? Effect.timeoutOption(at + leavesAfter + 1) : Effect.asSome
            ),
            { startImmediately: true }
          )
        )
        yield* TestClock.adjust("1 hour")
        const ends = yield* Effect.forEach(fibers, Fiber.join)

        // The model: a flight begins with the first call that finds none, and ends `takes` later.
        const landing = new Map<number, number>()
        let flights = 0
        const expected = new Map<number, number>()
        for (const [caller, call] of [...crowd.entries()].toSorted(([, a], [, b]) => a.at - b.at)) {
          if ((landing.get(call.who) ?? -1) < call.at) {
            landing.set(call.who, call.at + takes)
            flights++
          }
          expected.set(caller, landing.get(call.who) ?? 0)
        }
        assert.strictEqual(script.sends.length, flights)
        assert.isTrue(script.sends.every(({ ended }) => ended === "answered"))
        for (const [caller, end] of ends.entries()) {
          const call = crowd[caller]
          assert.strictEqual(answered[caller], 1)
          if (call === undefined || end._tag === "None") continue
          assertSame(end.value, {
            exit: fails ? Exit.fail(boom) : Exit.succeed(ready),
            at: began + (expected.get(caller) ?? 0)
          })
        }
        const stayed = crowd.filter(({ leaves }) => !leaves).length
        assert.isAtLeast(ends.filter(({ _tag }) => _tag === "Some").length, stayed)
      }).pipe(Effect.scoped),
    law
  )
})
