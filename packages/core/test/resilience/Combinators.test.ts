import {
  AccountNotFound,
  ConnectedAccountId,
  ConnectedAccounts,
  CurrentProject,
  NotReady,
  RateLimited,
  RedirectRequired,
  Resilience,
  Unauthorized,
  Unavailable
} from "@rekindle/core"
import { assert, describe, it, vi } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  accountWith,
  boom,
  id,
  otherId,
  ready,
  reset,
  assertSame,
  scripted,
  settle,
  timed,
  withDraw
} from "./script.ts"

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(timed(effect), { startImmediately: true })
const link = "https://example.com/consent"
const redirect = (status: "ACTIVE" | "INITIATED" | "EXPIRED" | "FAILED") =>
  RedirectRequired.make({ id, redirectUrl: link, status })

describe("withRefresh", () => {
  const unauthorized = { status: 401 } as const
  const isAuthFailure = (error: { readonly status: number }) => error.status === 401

  /** A third party that takes `takes` ms and refuses credentials older than `least`; a refresh of the script makes a newer one. */
  const thirdParty = (script: ReturnType<typeof scripted>, takes = 0) => {
    const state = { least: 1, calls: 0 }
    const call = Effect.gen(function* () {
      state.calls++
      const generation = script.sends.filter(({ ended }) => ended === "answered").length
      if (takes > 0) yield* Effect.sleep(takes)
      return generation >= state.least ? generation : yield* Effect.fail(unauthorized)
    })
    return { state, call }
  }
  const run = <A, E extends { readonly status: number }, R>(
    effect: Effect.Effect<A, E, R>,
    script: ReturnType<typeof scripted>,
    account = id
  ) =>
    Effect.provideService(
      Resilience.withRefresh(account, effect, { isAuthFailure, refresh: { validateCredentials: true } }),
      ConnectedAccounts,
      script.accounts
    )

  it.effect("runs once and does not refresh if the credential works", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      assert.strictEqual(yield* run(Effect.succeed(1), script), 1)
      assert.strictEqual(script.sends.length, 0)
    })
  )

  it.effect("refreshes once on an auth failure and runs again", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, answer: ready }])
      const { call, state } = thirdParty(script)
      assertSame(yield* settle(run(call, script)), { exit: Exit.succeed(1), at: 10 })
      assert.strictEqual(state.calls, 2)
      assert.strictEqual(script.sends.length, 1)
      assertSame(script.sends[0]?.options, { validateCredentials: true, tokenRefused: true })
    })
  )

  it.effect("returns the second auth failure as it is", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const { call, state } = thirdParty(script)
      state.least = 9
      assertSame(yield* Effect.flip(run(call, script)), unauthorized)
      assert.strictEqual(state.calls, 2)
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("refreshes an account whose credential cannot be read, and leaves another account's alone", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("EXPIRED") }])
      const notReady = new Resilience.ConnectionNotReady({ accountId: id, status: "EXPIRED" })
      const withRefresh = (account: ConnectedAccountId) =>
        Effect.flip(
          Effect.provideService(
            Resilience.withRefresh(account, Effect.fail(notReady)),
            ConnectedAccounts,
            script.accounts
          )
        )
      assertSame(
        yield* withRefresh(id),
        new Resilience.ConsentRequired({ accountId: id, redirectUrl: link, status: "EXPIRED" })
      )
      assertSame(yield* withRefresh(ConnectedAccountId.make("ca_4CkFF_another")), notReady)
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("leaves other failures alone", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      assertSame(yield* Effect.flip(run(Effect.fail({ status: 500 }), script)), { status: 500 })
      assert.strictEqual(script.sends.length, 0)
    })
  )

  it.effect("fails with the refresh's own error", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      assertSame(yield* Effect.flip(run(thirdParty(script).call, script)), boom)
    })
  )

  it.effect("fails with the link if consent is required", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("ACTIVE") }])
      const { call, state } = thirdParty(script)
      const error = yield* Effect.flip(run(call, script))
      assertSame(error, new Resilience.ConsentRequired({ accountId: id, redirectUrl: link, status: "ACTIVE" }))
      assert.strictEqual("message" in error && error.message, `Account ${id} needs a person's consent`)
      assert.strictEqual(state.calls, 1)
    })
  )

  it.effect("fails with the status if the account is not ready", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: NotReady.make({ id, status: "REVOKED" }) }])
      const error = yield* Effect.flip(run(thirdParty(script).call, script))
      assertSame(error, new Resilience.ConnectionNotReady({ accountId: id, status: "REVOKED" }))
      assert.strictEqual("message" in error && error.message, `Account ${id} is REVOKED`)
    })
  )

  it.effect("shares one refresh between all calls that fail during it", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const { call } = thirdParty(script)
      const early = yield* Effect.forEach([1, 2, 3], () => start(run(call, script)))
      yield* TestClock.adjust(50)
      const late = yield* start(run(call, script))
      yield* TestClock.adjust(50)
      for (const fiber of [...early, late]) {
        assertSame(yield* Fiber.join(fiber), { exit: Exit.succeed(1), at: 100 })
      }
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("does not refresh again for a caller whose credential is older than a refresh that just completed", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, answer: ready }])
      const quick = thirdParty(script)
      const slow = thirdParty(script, 1_000)
      const slowCaller = yield* start(run(slow.call, script))
      yield* start(run(quick.call, script))
      yield* TestClock.adjust("1 hour")
      assertSame(yield* Fiber.join(slowCaller), { exit: Exit.succeed(1), at: 2_000 })
      assert.strictEqual(slow.state.calls, 2)
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("refreshes again for a caller who began after the last refresh", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, answer: ready }])
      const { call, state } = thirdParty(script)
      const anchor = yield* start(run(Effect.delay(Effect.succeed(0), "1 minute"), script))
      yield* start(run(call, script))
      yield* TestClock.adjust(10)
      state.least = 2
      const second = yield* start(run(call, script))
      yield* TestClock.adjust(10)
      assertSame((yield* Fiber.join(second)).exit, Exit.succeed(2))
      assert.strictEqual(script.sends.length, 2)
      yield* Fiber.interrupt(anchor)
    })
  )

  it.effect("does not count a refresh that failed or needs consent as a new credential", () =>
    Effect.gen(function* () {
      const script = scripted([
        { takes: 10, answer: boom },
        { takes: 10, answer: redirect("EXPIRED") },
        { answer: ready }
      ])
      const slow = thirdParty(script, 1_000)
      slow.state.least = 3
      const caller = yield* start(run(slow.call, script))
      yield* start(run(Effect.fail(unauthorized), script))
      yield* TestClock.adjust(100)
      yield* start(run(Effect.fail(unauthorized), script))
      yield* TestClock.adjust("1 hour")
      assertSame((yield* Fiber.join(caller)).exit, Exit.succeed(3))
      assert.strictEqual(script.sends.length, 3)
    })
  )

  it.effect("shares a failed refresh with those who waited and forgets it", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, answer: boom }, { answer: ready }])
      const { call, state } = thirdParty(script)
      state.least = 2
      const fibers = yield* Effect.forEach([1, 2], () => start(run(call, script)))
      yield* TestClock.adjust(10)
      for (const fiber of fibers) assertSame((yield* Fiber.join(fiber)).exit, Exit.fail(boom))
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(yield* run(call, script), 2)
    })
  )

  it.effect("does not interrupt a refresh if the caller who started it leaves", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const { call } = thirdParty(script)
      const first = yield* start(run(call, script))
      const second = yield* start(run(call, script))
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust(100)
      assertSame((yield* Fiber.join(second)).exit, Exit.succeed(1))
    })
  )

  it.effect("joins a refresh in flight even if all its callers have left", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const { call } = thirdParty(script)
      yield* Fiber.interrupt(yield* start(run(call, script)))
      const next = yield* start(run(call, script))
      yield* TestClock.adjust(100)
      assertSame((yield* Fiber.join(next)).exit, Exit.succeed(1))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("does not share a link or a refresh with calls of other options or projects", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: redirect("EXPIRED") }])
      const failing = (redirectUrl: string, project?: string) =>
        Resilience.withRefresh(id, Effect.fail(unauthorized), { isAuthFailure, refresh: { redirectUrl } }).pipe(
          Effect.provideService(ConnectedAccounts, script.accounts),
          Effect.provideService(CurrentProject, project)
        )
      for (const call of [failing("/a"), failing("/a"), failing("/b"), failing("/b"), failing("/a", "other")]) {
        yield* start(call)
      }
      yield* TestClock.adjust("1 hour")
      assertSame(
        script.sends.map(({ at, options }) => [at, options?.redirectUrl]),
        [
          [0, "/a"],
          [0, "/a"],
          [100, "/b"]
        ]
      )
    })
  )

  it.effect("shares a new credential with calls of other options", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const { call } = thirdParty(script)
      const fibers = yield* Effect.forEach(["/a", "/b"], (redirectUrl) =>
        start(
          Resilience.withRefresh(id, call, { isAuthFailure, refresh: { redirectUrl } }).pipe(
            Effect.provideService(ConnectedAccounts, script.accounts)
          )
        )
      )
      yield* TestClock.adjust(100)
      for (const fiber of fibers) assertSame((yield* Fiber.join(fiber)).exit, Exit.succeed(1))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("refreshes once for a hundred calls that are refused at different moments", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 50, answer: ready }])
      const fibers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => thirdParty(script, 10 + index * 7)),
        ({ call }) => start(run(call, script))
      )
      yield* TestClock.adjust("1 hour")
      for (const fiber of fibers) assertSame((yield* Fiber.join(fiber)).exit, Exit.succeed(1))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("shares with calls that started earlier, although others ended in between", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 100, answer: ready }])
      const early = yield* start(run(thirdParty(script, 1_000).call, script))
      yield* run(Effect.succeed("came and went"), script)
      yield* TestClock.adjust(990)
      yield* start(run(thirdParty(script).call, script))
      yield* TestClock.adjust("1 hour")
      assertSame((yield* Fiber.join(early)).exit, Exit.succeed(1))
      assert.strictEqual(script.sends.length, 1)
    })
  )

  it.effect("forgets an account when the last call and the last refresh on it have ended", () =>
    Effect.gen(function* () {
      const sets = yield* Effect.acquireRelease(
        Effect.sync(() => vi.spyOn(Map.prototype, "set")),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      const held = () => new Set(sets.mock.contexts.filter((map) => map instanceof Map && map.has(id))).size
      const script = scripted([{ takes: 100, answer: ready }])
      const one = yield* start(run(thirdParty(script).call, script))
      const two = yield* start(run(thirdParty(script, 1_000).call, script))
      yield* Fiber.interrupt(one)
      yield* Fiber.interrupt(two)
      assert.strictEqual(held(), 1, "a refresh is on its way")
      yield* TestClock.adjust(100)
      assert.strictEqual(held(), 0)
      yield* run(Effect.succeed(1), script)
      assert.strictEqual(held(), 0)
    })
  )

  it.effect("keeps accounts and providers apart", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: "hang" }])
      const elsewhere = scripted([{ answer: "hang" }])
      yield* start(run(Effect.fail(unauthorized), script))
      yield* start(run(Effect.fail(unauthorized), script, otherId))
      yield* start(run(Effect.fail(unauthorized), elsewhere))
      assert.strictEqual(script.sends.length, 2)
      assert.strictEqual(elsewhere.sends.length, 1)
    })
  )
})

describe("awaitActive", () => {
  const run = <E = never, R = never>(
    script: ReturnType<typeof scripted>,
    options?: Partial<Resilience.AwaitActiveOptions<E, R>>,
    draw = 0
  ) => {
    const shown: Array<string> = []
    const effect = Effect.provideService(
      Resilience.awaitActive(id, {
        onRedirect: (url) => Effect.sync(() => void shown.push(url)),
        ...options
      }),
      ConnectedAccounts,
      script.accounts
    ).pipe(withDraw(draw))
    return { effect, shown }
  }

  it.effect("shows nothing and polls once for an account that is ready", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const { effect, shown } = run(script, { refresh: { redirectUrl: "https://app.example" } })
      assertSame(yield* settle(effect), { exit: Exit.succeed(script.state.account), at: 0 })
      assertSame(shown, [])
      assertSame(script.reads, [0])
      assertSame(script.sends[0]?.options, { redirectUrl: "https://app.example" })
    })
  )

  it.effect("waits as long as the link lives, also if the wall clock is set forward meanwhile", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let ahead = 0
      const wall = () => clock.currentTimeMillisUnsafe() + ahead
      const set: Clock.Clock = { ...clock, currentTimeMillisUnsafe: wall, currentTimeMillis: Effect.sync(wall) }
      const active = accountWith("ACTIVE", 1)
      const waiting = accountWith("INITIATED", 0)
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: [waiting, waiting, waiting, active] })
      const { effect } = run(script)
      const fiber = yield* start(effect.pipe(Effect.provideService(Clock.Clock, set)))
      yield* TestClock.adjust("1500 millis")
      ahead = 3_600_000
      yield* TestClock.adjust("10 seconds")
      assertSame((yield* Fiber.join(fiber)).exit, Exit.succeed(active))
    })
  )

  it.effect("shows the link once and polls until the account is ACTIVE", () =>
    Effect.gen(function* () {
      const active = accountWith("ACTIVE", 1)
      const waiting = accountWith("INITIATED", 0)
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: [waiting, waiting, waiting, active] })
      const { effect, shown } = run(script)
      assertSame(yield* settle(effect), { exit: Exit.succeed(active), at: 3_000 })
      assertSame(shown, [link])
      assertSame(script.reads, [0, 1_000, 2_000, 3_000])
    })
  )

  it.effect("polls at growing intervals, up to a limit", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("INITIATED") }], { account: accountWith("INITIATED", 0) })
      const options = { linkLifetime: "40 seconds", pollEvery: "2 seconds", pollAtMost: "12 seconds" } as const
      const { at } = yield* settle(run(script, options, 1).effect)
      assert.strictEqual(at, 40_000)
      assertSame(script.reads, [0, 2_000, 8_000, 20_000, 32_000, 40_000])
    })
  )

  it.effect("does not count an account that stayed ACTIVE as a completed consent", () =>
    Effect.gen(function* () {
      const old = accountWith("ACTIVE", 5)
      const renewed = accountWith("ACTIVE", 6)
      const script = scripted([{ answer: redirect("ACTIVE") }], { reads: [old, old, old, renewed] })
      const { effect, shown } = run(script)
      assertSame(yield* settle(effect), { exit: Exit.succeed(renewed), at: 2_000 })
      assertSame(shown, [link])
      assertSame(script.reads, [0, 0, 1_000, 2_000])
    })
  )

  it.effect("continues after transient failures of reads", () =>
    Effect.gen(function* () {
      const active = accountWith("ACTIVE", 1)
      const script = scripted([{ answer: redirect("INITIATED") }], {
        reads: [reset, new Unavailable({ message: "" }), new RateLimited({ message: "" }), active]
      })
      assertSame(yield* settle(run(script).effect), { exit: Exit.succeed(active), at: 3_000 })
    })
  )

  it.effect("obeys a Retry-After between polls, within its limit", () =>
    Effect.gen(function* () {
      const asks = (seconds: number) => new RateLimited({ message: "", retryAfter: Duration.seconds(seconds) })
      const script = scripted([{ answer: redirect("INITIATED") }], {
        reads: [asks(4), asks(0), asks(86_400), accountWith("ACTIVE", 1)]
      })
      yield* settle(run(script).effect)
      assertSame(script.reads, [0, 4_000, 5_000, 15_000])
    })
  )

  it.effect.each([new AccountNotFound({ message: "gone" }), new Unauthorized({ message: "key" })])(
    "ends with %s, which the next read would meet again",
    (error) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: redirect("INITIATED") }], { reads: [reset, error] })
        assertSame(yield* settle(run(script).effect), { exit: Exit.fail(error), at: 1_000 })
      })
  )

  it.effect.each(["FAILED", "REVOKED", "INACTIVE"] as const)("ends when the account turns %s", (status) =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("INITIATED") }], {
        reads: [accountWith("INITIATED", 0), accountWith(status, 1)]
      })
      const { at, exit } = yield* settle(run(script).effect)
      assertSame(exit, Exit.fail(new Resilience.ConnectionNotReady({ accountId: id, status })))
      assert.strictEqual(at, 1_000)
    })
  )

  it.effect.each(["FAILED", "REVOKED", "INACTIVE", "EXPIRED"] as const)(
    "ends before any poll when the refresh says %s and gives no link",
    (status) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: NotReady.make({ id, status }) }])
        assertSame(yield* Effect.flip(run(script).effect), new Resilience.ConnectionNotReady({ accountId: id, status }))
        assert.strictEqual(script.reads.length, 0)
      })
  )

  it.effect("ends when an account without a link expires", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: NotReady.make({ id, status: "INITIALIZING" }) }], {
        reads: [accountWith("INITIALIZING", 0), accountWith("EXPIRED", 1)]
      })
      assert.strictEqual((yield* settle(run(script).effect)).at, 1_000)
    })
  )

  it.effect("waits for an account that is INITIALIZING, without a link", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: NotReady.make({ id, status: "INITIALIZING" }) }], {
        reads: [accountWith("INITIALIZING", 0), accountWith("ACTIVE", 0)]
      })
      const { effect, shown } = run(script)
      assertSame(yield* settle(effect), { exit: Exit.succeed(accountWith("ACTIVE", 0)), at: 1_000 })
      assertSame(shown, [])
    })
  )

  it.effect(
    "lets an EXPIRED account have its link's whole life, ten minutes unless told, and reads at the very end",
    () =>
      Effect.gen(function* () {
        const script = scripted([{ answer: redirect("EXPIRED") }], { account: accountWith("EXPIRED", 0) })
        const { at, exit } = yield* settle(run(script, { pollEvery: "7 minutes", pollAtMost: "7 minutes" }).effect)
        const error = new Resilience.ConsentExpired({ accountId: id, status: "EXPIRED" })
        assertSame(exit, Exit.fail(error))
        assert.strictEqual(error.message, `The link to consent for account ${id} expired`)
        assert.strictEqual(at, 600_000)
        assertSame(script.reads, [0, 420_000, 600_000])
      })
  )

  it.effect("abandons a read that hangs, and reads again", () =>
    Effect.gen(function* () {
      const active = accountWith("ACTIVE", 1)
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: ["hang", active] })
      assertSame(yield* settle(run(script).effect), { exit: Exit.succeed(active), at: 31_000 })
    })
  )

  it.effect("ends even if all reads hang", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: ["hang"] })
      const { at, exit } = yield* settle(run(script, { linkLifetime: "1 minute" }).effect)
      assertSame(exit, Exit.fail(new Resilience.ConsentExpired({ accountId: id })))
      assert.isAtMost(at, 90_000)
    })
  )

  it.effect("does not count an expired credential as the end of the link", () =>
    Effect.gen(function* () {
      const active = accountWith("ACTIVE", 1)
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: [accountWith("EXPIRED", 0), active] })
      assertSame(yield* settle(run(script).effect), { exit: Exit.succeed(active), at: 1_000 })
    })
  )

  it.effect("waits while the account has the status that it had when the link was issued", () =>
    Effect.gen(function* () {
      const active = accountWith("ACTIVE", 1)
      const script = scripted([{ answer: redirect("FAILED") }], {
        reads: [accountWith("FAILED", 0), accountWith("INITIATED", 0), active]
      })
      assertSame(yield* settle(run(script).effect), { exit: Exit.succeed(active), at: 2_000 })
    })
  )

  it.effect("has no status in the error if no read succeeded before the link expired", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: redirect("INITIATED") }], { reads: [reset] })
      const { exit } = yield* settle(run(script, { linkLifetime: "3 seconds" }).effect)
      assertSame(exit, Exit.fail(new Resilience.ConsentExpired({ accountId: id })))
      assertSame(script.reads, [0, 1_000, 2_000, 3_000])
    })
  )

  it.effect("fails with the error of the refresh, or of onRedirect", () =>
    Effect.gen(function* () {
      const failing = scripted([{ answer: boom }])
      assertSame(yield* Effect.flip(run(failing).effect), boom)
      const script = scripted([{ answer: redirect("INITIATED") }])
      const { effect } = run(script, { onRedirect: () => Effect.fail("no browser") })
      assert.strictEqual(yield* Effect.flip(effect), "no browser")
    })
  )
})

it.effect.each([
  ["ConsentRequired", new Resilience.ConsentRequired({ accountId: id, redirectUrl: link, status: "ACTIVE" })],
  ["ConnectionNotReady", new Resilience.ConnectionNotReady({ accountId: id, status: "REVOKED" })],
  ["ConsentExpired", new Resilience.ConsentExpired({ accountId: id })]
] as const)("%s is caught by its name, and names the account and no link", ([tag, error]) =>
  Effect.gen(function* () {
    assert.strictEqual(error._tag, tag)
    assert.strictEqual(yield* Effect.catchTag(Effect.fail(error), tag, () => Effect.succeed("caught")), "caught")
    assert.include(error.message, id)
    assert.notInclude(error.message, link)
  })
)
