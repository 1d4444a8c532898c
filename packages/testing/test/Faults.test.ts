import { assert, describe, it } from "@effect/vitest"
import {
  ConnectedAccountId,
  ConnectedAccounts,
  type RefreshError,
  Resilience,
  UnexpectedResponse
} from "@rekindle/core"
import { Arbitraries, Faults, ScriptedAccounts } from "@rekindle/testing"
import { Clock, Duration, Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** An EXPIRED account that any refresh makes ACTIVE: whether the work was done can be read afterwards. */
const script = ScriptedAccounts.layer([
  ScriptedAccounts.account({ id, status: "EXPIRED", answers: [ScriptedAccounts.ready] })
])

const broken = (...policies: ReadonlyArray<Resilience.Policy>) => Faults.around(script, ...policies)

const refresh = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))
const get = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(id))
const calls = Effect.flatMap(ScriptedAccounts.ScriptedAccounts, (script) => script.calls)
const tagOf = <A extends { readonly _tag: string }, E extends { readonly _tag: string }, R>(
  call: Effect.Effect<A, E, R>
) => Effect.match(call, { onFailure: (error) => error._tag, onSuccess: (outcome) => outcome._tag })

describe("drops", () => {
  it.effect("before sending never reach the provider", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.deepInclude(error, { _tag: "TransportError", reason: "connect", disposition: "not-sent" })
      assert.lengthOf(yield* calls, 0)
    }).pipe(Effect.provide(broken(Faults.dropBeforeSend())))
  )

  it.effect("after commit lose the answer of work that was done", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.deepInclude(error, { _tag: "TransportError", reason: "reset", disposition: "ambiguous" })
      assert.strictEqual((yield* get).status, "ACTIVE")
    }).pipe(Effect.provide(broken(Faults.dropAfterCommit())))
  )

  it.effect("do not hide a defect of the provider", () =>
    Effect.gen(function* () {
      assert.isTrue(Exit.hasDies(yield* Effect.exit(refresh)))
    }).pipe(
      Effect.provide(
        Faults.around(
          ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers: [ScriptedAccounts.exhausted] })]),
          Faults.dropAfterCommit()
        )
      )
    )
  )
})

describe("garbage", () => {
  it.effect("answers a bounded excerpt of noise after the work was done", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* Effect.flip(refresh), yield* Effect.flip(refresh)]
      if (one._tag !== "UnexpectedResponse" || two._tag !== "UnexpectedResponse") return assert.fail(one._tag)
      assert.strictEqual(one.disposition, "ambiguous")
      assert.isAbove(one.excerpt.length, 0)
      assert.notStrictEqual(one.excerpt, two.excerpt)
      assert.strictEqual((yield* get).status, "ACTIVE")
    }).pipe(Effect.provide(broken(Faults.garbage({ seed: 7 }))))
  )

  it.effect("is kept as long as a real body would be, and no longer", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      if (error._tag !== "UnexpectedResponse") return assert.fail(error._tag)
      assert.lengthOf(error.excerpt, UnexpectedResponse.excerptLimit)
    }).pipe(
      Effect.provide(
        broken(Faults.schedule([{ _tag: "Garbage", excerpt: "x".repeat(2 * UnexpectedResponse.excerptLimit) }]))
      )
    )
  )
})

describe("status", () => {
  const refreshes: ReadonlyArray<readonly [number, RefreshError["_tag"], boolean]> = [
    [400, "InvalidRequest", false],
    [401, "Unauthorized", false],
    [403, "Forbidden", false],
    [404, "AccountNotFound", false],
    [429, "RateLimited", false],
    [501, "RefreshUnsupported", false],
    [503, "Unavailable", false],
    [418, "UnexpectedResponse", false],
    [500, "RefreshFailed", true],
    [502, "UnexpectedResponse", true],
    [504, "UnexpectedResponse", true],
    [408, "UnexpectedResponse", true],
    [409, "UnexpectedResponse", true]
  ]
  it.effect.each(refreshes)("%i on refresh is %s; the work is done: %s", ([status, tag, done]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.strictEqual(error._tag, tag)
      assert.strictEqual(error.disposition, done ? "ambiguous" : "rejected")
      assert.strictEqual((yield* get).status, done ? "ACTIVE" : "EXPIRED")
    }).pipe(Effect.provide(broken(Faults.status(status))))
  )

  it.effect.each([
    [500, "RefreshFailed"],
    [501, "RefreshUnsupported"],
    [503, "Unavailable"],
    [404, "AccountNotFound"]
  ] as const)("%i on get is %s", ([status, tag]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(get))._tag, tag)
      assert.strictEqual((yield* refresh)._tag, "Ready", "refresh is spared")
    }).pipe(Effect.provide(broken(Faults.status(status, { on: "get" }))))
  )

  it.effect("carries the wait it was given", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      if (error._tag !== "Unavailable") return assert.fail(error._tag)
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(30))
    }).pipe(Effect.provide(broken(Faults.status(503, { retryAfter: "30 seconds" }))))
  )
})

describe("latency", () => {
  it.effect("on the way there delays the work", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(refresh, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* calls, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Ready")
    }).pipe(Effect.provide(broken(Faults.latency("2 seconds"))))
  )

  it.effect("on the way back delays only the answer, so that a timeout is ambiguous", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.timeoutOption(refresh, "1 second"), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
      assert.strictEqual((yield* get).status, "ACTIVE")
    }).pipe(Effect.provide(broken(Faults.latency("2 seconds", { side: "response" }))))
  )

  it.effect("is drawn from its range", () =>
    Effect.gen(function* () {
      const taken: Array<number> = []
      for (let call = 0; call < 50; call++) {
        const start = yield* Clock.currentTimeMillis
        const fiber = yield* Effect.forkChild(
          Effect.andThen(
            refresh,
            Effect.map(Clock.currentTimeMillis, (now) => taken.push(now - start))
          ),
          { startImmediately: true }
        )
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(fiber)
      }
      assert.isAtLeast(Math.min(...taken), 1000)
      assert.isAtMost(Math.max(...taken), 3000)
      assert.isAbove(Math.max(...taken) - Math.min(...taken), 1000)
    }).pipe(Effect.provide(broken(Faults.latency({ min: "1 second", max: "3 seconds" }, { seed: 1 }))))
  )
})

describe("rate and seed", () => {
  const run = (policy: Resilience.Policy, count = 200) =>
    Effect.replicateEffect(tagOf(refresh), count).pipe(Effect.provide(broken(policy)))

  it.effect("strike that share of the calls", () =>
    Effect.gen(function* () {
      const tags = yield* run(Faults.dropBeforeSend({ rate: 0.25, seed: "a" }), 2000)
      const share = tags.filter((tag) => tag === "TransportError").length / 2000
      assert.approximately(share, 0.25, 0.03)
      assert.notInclude(yield* run(Faults.dropBeforeSend({ rate: 0 })), "TransportError")
      assert.notInclude(yield* run(Faults.dropBeforeSend({ rate: 1 })), "Ready")
    })
  )

  it.effect("strike the same calls in every run, and others under another seed", () =>
    Effect.gen(function* () {
      const one = yield* run(Faults.dropBeforeSend({ rate: 0.5, seed: 1 }))
      assert.deepStrictEqual(yield* run(Faults.dropBeforeSend({ rate: 0.5, seed: 1 })), one)
      assert.notDeepEqual(yield* run(Faults.dropBeforeSend({ rate: 0.5, seed: 2 })), one)
    })
  )

  it.effect("follow the ambient Random without a seed of their own", () =>
    Effect.gen(function* () {
      const policy = Faults.dropBeforeSend({ rate: 0.5 })
      const one = yield* Random.withSeed(run(policy), "x")
      assert.deepStrictEqual(yield* Random.withSeed(run(policy), "x"), one)
      assert.notDeepEqual(yield* Random.withSeed(run(policy), "y"), one)
    })
  )
})

describe("schedule", () => {
  it.effect("gives the nth call the nth fault, and then peace", () =>
    Effect.gen(function* () {
      const tags = yield* Effect.replicateEffect(tagOf(refresh), 5)
      assert.deepStrictEqual(tags, ["TransportError", "Ready", "RateLimited", "Ready", "Ready"])
      assert.strictEqual((yield* get).id, id)
    }).pipe(
      Effect.provide(
        broken(Faults.schedule([{ _tag: "DropBeforeSend" }, { _tag: "None" }, { _tag: "Status", status: 429 }]))
      )
    )
  )

  it.effect("counts both operations together when it is on both", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(get))._tag, "Unavailable")
      assert.strictEqual((yield* Effect.flip(refresh))._tag, "TransportError")
    }).pipe(
      Effect.provide(
        broken(Faults.schedule([{ _tag: "Status", status: 503 }, { _tag: "DropAfterCommit" }], { on: "both" }))
      )
    )
  )

  it.effect.prop(
    "never does work behind a not-sent or rejected answer, and always behind an ambiguous one",
    { faults: Arbitraries.faultSchedule },
    ({ faults }) =>
      Effect.gen(function* () {
        const script = yield* ScriptedAccounts.ScriptedAccounts
        for (let call = 0; call < faults.length; call++) {
          const before = (yield* script.calls).length
          const fiber = yield* Effect.forkChild(Effect.exit(Effect.flip(refresh)), { startImmediately: true })
          yield* TestClock.adjust("1 minute")
          const exit = yield* Fiber.join(fiber)
          const done = (yield* script.calls).length - before
          const expected = Exit.isFailure(exit) || exit.value.disposition === "ambiguous" ? 1 : 0
          assert.strictEqual(done, expected)
        }
      }).pipe(Effect.provide(broken(Faults.schedule(faults)), { local: true })),
    { arbitrary: { runs: 100 } }
  )
})

describe("a fault policy", () => {
  it("describes itself as plain data, like any policy", () => {
    assert.deepStrictEqual(Faults.latency({ min: "1 second", max: "2 seconds" }, { rate: 0.5 }).describe(), [
      { policy: "fault-latency", options: { min: 1000, max: 2000, side: "request", rate: 0.5, on: "refresh" } }
    ])
    assert.deepStrictEqual(Faults.schedule([{ _tag: "None" }, { _tag: "DropAfterCommit" }], { on: "get" }).describe(), [
      { policy: "fault-schedule", options: { faults: ["None", "DropAfterCommit"], on: "get" } }
    ])
  })

  it.effect("composes with resilience policies", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(refresh, { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Ready")
      assert.lengthOf(yield* calls, 1)
    }).pipe(
      Effect.provide(
        Faults.around(
          script,
          Resilience.compose(
            Resilience.retry(),
            Faults.schedule([{ _tag: "DropBeforeSend" }, { _tag: "DropBeforeSend" }])
          )
        )
      )
    )
  )

  it.effect("is met before the ones to its right", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(refresh))._tag, "Unauthorized")
    }).pipe(Effect.provide(broken(Faults.status(401), Faults.status(403))))
  )

  it.effect("has its count made anew for each service it decorates", () =>
    Effect.gen(function* () {
      const once = Faults.schedule([{ _tag: "DropBeforeSend" }])
      for (let service = 0; service < 2; service++) {
        const tags = yield* Effect.replicateEffect(tagOf(refresh), 2).pipe(Effect.provide(broken(once)))
        assert.deepStrictEqual(tags, ["TransportError", "Ready"])
      }
    })
  )
})
