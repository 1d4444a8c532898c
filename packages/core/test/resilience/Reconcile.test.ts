import { AccountNotFound, type ConnectedAccount, NotReady, Resilience, Unavailable } from "@rekindle/core"
import { judge, type Before } from "#core/resilience/Reconcile.ts"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, PubSub } from "effect"
import { TestClock } from "effect/testing"
import { accountWith, boom, id, ready, refused, reset, assertSame, scripted, settle } from "./script.ts"

const skew = 2_000
const now = 110_000
const began: Before = { startedAt: 100_000, seen: undefined }
const sawActive: Before = { startedAt: 100_000, seen: accountWith("ACTIVE", 50_000) }

describe("whether an account has changed since an attempt started", () => {
  const cases: ReadonlyArray<readonly [string, ConnectedAccount, Before, "Moved" | "Unmoved" | "Unknown"]> = [
    ["updated after the start", accountWith("ACTIVE", 100_001), began, "Moved"],
    ["updated before the start, within the skew", accountWith("ACTIVE", 98_001), began, "Moved"],
    ["updated before the start, just at the skew", accountWith("ACTIVE", 98_000), began, "Unmoved"],
    ["not what was seen: a later update", accountWith("ACTIVE", 50_001), sawActive, "Moved"],
    ["what was seen", accountWith("ACTIVE", 50_000), sawActive, "Unmoved"],
    ["not what was seen: another status", accountWith("EXPIRED", 50_000), sawActive, "Moved"],
    ["an older reading than what was seen", accountWith("ACTIVE", 49_999), sawActive, "Unmoved"],
    ["updated in our future, within the skew", accountWith("ACTIVE", 112_000), began, "Moved"],
    [
      "updated further in our future: a server's clock that runs ahead",
      accountWith("ACTIVE", 112_001),
      began,
      "Unknown"
    ],
    ["in our future, but not what was seen", accountWith("ACTIVE", 112_001), sawActive, "Moved"],
    ["waiting for consent, in our future", accountWith("INITIATED", 112_001), began, "Unmoved"],
    ["waiting for consent", accountWith("INITIATED", 100_001), began, "Unmoved"],
    ["never connected yet", accountWith("INITIALIZING", 100_001), began, "Unmoved"]
  ]
  it.each(cases)("%s", (_, account, before, expected) => {
    const found = judge(account, before, skew, now)
    assert.strictEqual(found._tag, expected)
    if (found._tag === "Unmoved") assert.strictEqual(found.account, account)
  })

  it("answers Ready for ACTIVE and NotReady for the rest", () => {
    assert.deepStrictEqual(judge(accountWith("ACTIVE", 100_001), began, skew, now), { _tag: "Moved", outcome: ready })
    assert.deepStrictEqual(judge(accountWith("FAILED", 100_001), began, skew, now), {
      _tag: "Moved",
      outcome: NotReady.make({ id, status: "FAILED" })
    })
  })
})

describe("reconcile", () => {
  it.effect("answers an ambiguous failure with the state of the account", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 10, commits: "ACTIVE", answer: reset }])
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame(yield* settle(accounts.refresh(id)), { exit: Exit.succeed(ready), at: 10 })
      assertSame(script.reads, [10])
    })
  )

  it.effect("keeps the failure, and sends nothing, if the account has not changed", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }])
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(boom))
      assert.strictEqual(script.sends.length, 1)
      assert.strictEqual(script.reads.length, 1)
    })
  )

  it.effect("keeps the failure if the account cannot be read", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: boom }], { reads: [new Unavailable({ message: "busy" })] })
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(boom))
    })
  )

  it.effect.each([refused, new AccountNotFound({ message: "gone" })])("does not read the account after %s", (error) =>
    Effect.gen(function* () {
      const script = scripted([{ answer: error }])
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(error))
      assert.strictEqual(script.reads.length, 0)
    })
  )

  it.effect("measures from the start of the attempt", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 60_000, answer: reset }], { reads: [accountWith("ACTIVE", 5_001)] })
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      yield* TestClock.adjust(7_000)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.succeed(ready))
    })
  )

  it.effect("allows a server clock that is behind by up to clockSkew", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }], { reads: [accountWith("ACTIVE", -59_999)] })
      const tolerant = yield* Resilience.reconcile({ clockSkew: "1 minute" }).make(script.accounts)
      assertSame((yield* settle(tolerant.refresh(id))).exit, Exit.succeed(ready))
      const strict = yield* Resilience.reconcile().make(script.accounts)
      assertSame((yield* settle(strict.refresh(id))).exit, Exit.fail(reset))
    })
  )

  it.effect("does not count an older update as the answer if the server's clock is ahead", () =>
    Effect.gen(function* () {
      // An hour ahead; the account was last updated half an hour before the attempt.
      const script = scripted([{ answer: reset }], { reads: [accountWith("ACTIVE", 30 * 60_000)] })
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(reset))
    })
  )

  it.effect("compares with an earlier reading with baseline: read", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: reset }], { reads: [accountWith("ACTIVE", 9e9), accountWith("ACTIVE", 9e9)] })
      const accounts = yield* Resilience.reconcile({ baseline: "read" }).make(script.accounts)
      assertSame((yield* settle(accounts.refresh(id))).exit, Exit.fail(reset))
      assert.strictEqual(script.reads.length, 2)
    })
  )

  it.effect("passes options, answers and reads through", () =>
    Effect.gen(function* () {
      const script = scripted([{ answer: ready }])
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      assertSame(yield* accounts.refresh(id, { idempotencyKey: "k" }), ready)
      assertSame(script.sends[0]?.options, { idempotencyKey: "k" })
      assert.strictEqual(yield* accounts.get(id), script.state.account)
    })
  )

  it.effect("publishes what it found", () =>
    Effect.gen(function* () {
      const script = scripted([{ takes: 1, commits: "EXPIRED", answer: reset }])
      const bus = yield* Resilience.Events
      assert.isDefined(bus)
      const events = yield* bus.subscribe
      const accounts = yield* Resilience.reconcile().make(script.accounts)
      yield* settle(accounts.refresh(id))
      assertSame(yield* PubSub.takeAll(events), [
        { _tag: "Reconciled", accountId: id, result: "moved", status: "EXPIRED" }
      ])
    }).pipe(Effect.provide(Resilience.layerEvents))
  )

  it("describes itself", () => {
    assert.deepStrictEqual(Resilience.reconcile({ baseline: "read", clockSkew: 5 }).describe(), [
      { policy: "reconcile", options: { baseline: "read", clockSkew: 5 } }
    ])
  })
})
