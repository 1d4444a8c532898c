/**
 * Another process holds the lease, took it over, or was faster. Its result counts like one of this process, and a stale result never
 * overwrites a newer one.
 */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, type ConnectedAccountId } from "@rekindle/core"
import { type Account, AccountStore, AtCheckpoint, Credential, CredentialVault } from "@rekindle/engine"
import { credentialContext } from "@rekindle/engine/Account"
import type { AttemptResult } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Effect, type Fiber, Option, Schema } from "effect"
import {
  connected,
  elapse,
  events,
  join,
  leaseAs,
  refresh,
  refused,
  rest,
  scenario,
  secretsOf,
  type Services,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** Releases the lease, as the other process would. */
const release = Effect.fnUntraced(function* (
  leased: Account,
  result: Omit<AttemptResult, "epoch">,
  keepIntent = false
) {
  const store = yield* AccountStore
  yield* store.release({
    id: leased.id,
    epoch: leased.epoch,
    keepIntent,
    renewAt: leased.renewAt,
    result: { ...result, epoch: leased.epoch }
  })
})

/** Commits tokens, as the other process would. */
const commit = Effect.fnUntraced(function* (
  id: ConnectedAccountId,
  tokens: { readonly access_token: string; readonly refresh_token: string },
  changes: Partial<Account> = {}
) {
  const store = yield* AccountStore
  const vault = yield* CredentialVault
  const now = yield* Clock.currentTimeMillis
  const from = yield* stored(id)
  const text = yield* Schema.encodeEffect(Credential.CredentialJson)(Credential.make(tokens))
  const to: Account = {
    ...from,
    status: "ACTIVE",
    statusReason: null,
    generation: from.generation + 1,
    credential: yield* vault.seal(credentialContext({ ...from, generation: from.generation + 1 }), text),
    previousCredential: from.credential,
    obtainedAt: now,
    obtainedEpoch: from.epoch,
    expiresAt: now + 3_600_000,
    updatedAt: now,
    ...changes
  }
  assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: ["renewed"], endLease: from.epoch })))
})

const theirs = { access_token: "their access token", refresh_token: "their refresh token" }

/** Forks a refresh, and lets it run until it waits for time to pass. */
const waiting = Effect.fnUntraced(function* (id: ConnectedAccountId) {
  const accounts = yield* ConnectedAccounts
  const fiber = yield* Effect.forkChild(Effect.result(accounts.refresh(id)))
  yield* rest
  yield* elapse("1 second", "100 millis")
  assert.isUndefined(fiber.pollUnsafe())
  return fiber
})

const told = <A, E extends { readonly _tag: string; readonly slug?: string }>(
  fiber: Fiber.Fiber<
    { readonly _tag: "Success"; readonly success: A } | { readonly _tag: "Failure"; readonly failure: E }
  >
) =>
  Effect.map(join(fiber), (result) =>
    result._tag === "Success" ? result.success : `${result.failure._tag} ${result.failure.slug ?? ""}`
  )

const results: ReadonlyArray<readonly [Omit<AttemptResult, "epoch">, boolean, boolean, string]> = [
  [{ verdict: "Transient", code: "http_503", retryAt: null }, false, false, "Unavailable provider_busy"],
  [{ verdict: "NotApplied", code: null, retryAt: null }, false, false, "Unavailable provider_unreachable"],
  [{ verdict: "AppFault", code: "invalid_client", retryAt: null }, false, false, "RefreshFailed auth_config_rejected"],
  [{ verdict: "Misconfigured", code: "invalid_scope", retryAt: null }, false, false, "RefreshFailed refresh_refused"],
  [{ verdict: "Ambiguous", code: null, retryAt: null }, true, false, "Ready"],
  [{ verdict: "Ambiguous", code: null, retryAt: null }, true, true, "RefreshFailed provider_silent"],
  [{ verdict: "NotRenewed", code: null, retryAt: null }, false, false, "Ready"],
  [{ verdict: "NotRenewed", code: null, retryAt: null }, false, true, "RefreshFailed not_renewed"]
]

describe("while another process renews the account", () => {
  it.effect("callers wait, and share its new token without a request of their own", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* leaseAs(id, "them")
      const callers = [yield* waiting(id), yield* waiting(id)]
      yield* commit(id, theirs)
      for (const caller of callers) assert.deepStrictEqual(yield* told(caller), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 0)
      assert.strictEqual((yield* secretsOf(id))["access_token"], theirs.access_token)
    }).pipe(scenario())
  )

  for (const [result, keepIntent, expired, expected] of results) {
    it.effect(
      `its ${result.verdict} is theirs too: ${expected}${expired ? " when the access token is over" : ""}`,
      () =>
        Effect.gen(function* () {
          const { id } = yield* connected({ expired })
          const leased = yield* leaseAs(id, "them")
          const caller = yield* waiting(id)
          yield* release(leased, result, keepIntent)
          const seen = yield* told(caller)
          assert.strictEqual(typeof seen === "string" ? seen : seen._tag, expected)
          assert.strictEqual(yield* sends, 0)
          assert.strictEqual((yield* stored(id)).status, "ACTIVE")
        }).pipe(scenario())
    )
  }

  it.effect("its dead token is a link to consent for each of them", () =>
    Effect.gen(function* () {
      const store = yield* AccountStore
      const { id } = yield* connected()
      const leased = yield* leaseAs(id, "them")
      const caller = yield* waiting(id)
      const to: Account = { ...leased, status: "EXPIRED", statusReason: "grant_dead", renewAt: null }
      assert.isTrue(
        Option.isSome(yield* store.write({ from: leased, to, announce: ["expired"], endLease: leased.epoch }))
      )
      const seen = yield* told(caller)
      assert.strictEqual(typeof seen === "string" ? seen : seen._tag, "RedirectRequired")
      assert.strictEqual(yield* sends, 0)
    }).pipe(scenario())
  )

  it.effect("that never ends, giving up is Unavailable and changes nothing", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      const leased = yield* leaseAs(id, "them", 600_000)
      const error = yield* refused(id)
      assert.strictEqual(error._tag, "Unavailable")
      assert.deepStrictEqual(yield* stored(id), leased)
    }).pipe(scenario())
  )

  it.effect("and another account is not held back by it", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* connected(), yield* connected()]
      yield* leaseAs(one.id, "them")
      assert.strictEqual((yield* refresh(two.id))._tag, "Ready")
    }).pipe(scenario())
  )
})

describe("a process that took over while our request was under way", () => {
  /** This process has sent a request and lost its lease. The other process has taken it. */
  const overtaken = (fault: ScriptedProvider.Fault) =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* ConnectedAccounts
      const account = yield* connected()
      yield* provider.next(fault)
      const ours = yield* Effect.forkChild(Effect.result(accounts.refresh(account.id)))
      yield* rest
      yield* elapse("3 seconds")
      assert.strictEqual((yield* stored(account.id)).epoch, 1)
      return { ...account, ours }
    })
  const shortLease = { engine: { coordinator: { lease: "2 seconds", requestTimeout: "9 seconds" } } } as const
  const late: ScriptedProvider.Fault = { _tag: "LateAnswer", delay: "5 seconds" }

  it.effect("has stored nothing yet: our token is kept, although the lease is theirs", () =>
    Effect.gen(function* () {
      const { id, ours, refreshToken } = yield* overtaken(late)
      yield* leaseAs(id, "them")
      const seen = yield* told(ours)
      assert.deepStrictEqual(seen, { _tag: "Ready", id })
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.strictEqual((yield* stored(id)).generation, 2)
    }).pipe(scenario(shortLease))
  )

  for (const [clock, skew] of [
    ["ahead of ours", 60_000],
    ["behind ours", -60_000]
  ] as const) {
    it.effect(`has stored a newer token of the same grant, by a clock ${clock}: ours does not overwrite it`, () =>
      Effect.gen(function* () {
        const { id, ours } = yield* overtaken(late)
        yield* leaseAs(id, "them")
        yield* commit(id, theirs, { obtainedAt: (yield* Clock.currentTimeMillis) + skew })
        assert.deepStrictEqual(yield* told(ours), { _tag: "Ready", id })
        assert.strictEqual((yield* secretsOf(id))["refresh_token"], theirs.refresh_token)
      }).pipe(scenario(shortLease))
    )

    it.effect(`has stored an older token of the same grant, by a clock ${clock}: ours replaces it`, () =>
      Effect.gen(function* () {
        const { id, ours } = yield* overtaken(late)
        // The other process held the lease before, and its commit took until now.
        yield* commit(id, theirs, { obtainedEpoch: 0, obtainedAt: (yield* Clock.currentTimeMillis) + skew })
        assert.deepStrictEqual(yield* told(ours), { _tag: "Ready", id })
        assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], theirs.refresh_token)
        assert.strictEqual((yield* stored(id)).generation, 3)
      }).pipe(scenario(shortLease))
    )
  }

  it.effect(
    "has committed a newer token and left that in doubt: a refused access token from before does not settle the doubt",
    () =>
      Effect.gen(function* () {
        const { id } = yield* connected()
        const context = yield* Effect.context<Services>()
        let isFirst = true
        const takeOver = Effect.gen(function* () {
          if (!isFirst) return
          isFirst = false
          yield* leaseAs(id, "them")
          yield* commit(id, theirs)
          yield* release(yield* leaseAs(id, "them"), { verdict: "Ambiguous", code: null, retryAt: null }, true)
        })
        const result = yield* refresh(id, { tokenRefused: true }).pipe(
          Effect.provideService(AtCheckpoint, (point) =>
            point === "before-lease" ? Effect.orDie(Effect.provideContext(takeOver, context)) : Effect.void
          )
        )
        assert.isFalse(isFirst)
        assert.deepStrictEqual(result, { _tag: "Ready", id })
        assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "open" })
        assert.strictEqual(yield* sends, 0)
      }).pipe(scenario())
  )

  it.effect("saw a person consent meanwhile: ours is of the old grant and does not overwrite it", () =>
    Effect.gen(function* () {
      const { id, ours } = yield* overtaken(late)
      yield* commit(id, theirs, { grantId: "a new grant" })
      assert.deepStrictEqual(yield* told(ours), { _tag: "Ready", id })
      assert.strictEqual((yield* secretsOf(id))["refresh_token"], theirs.refresh_token)
      assert.deepInclude(summary(yield* stored(id)), { leased: false, intent: "closed" })
      // This process leaves nothing behind that would delay the next renewal.
      assert.strictEqual(yield* sends, 1)
    }).pipe(scenario(shortLease))
  )

  it.effect("is still renewing when this process gets a dead token: its result counts", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* ConnectedAccounts
      const { id, refreshToken } = yield* connected()
      yield* provider.revoke(refreshToken)
      yield* provider.next({ _tag: "LateAnswer", delay: "5 seconds" })
      const ours = yield* Effect.forkChild(Effect.result(accounts.refresh(id)))
      yield* elapse("3 seconds")
      yield* leaseAs(id, "them")
      const seen = yield* told(ours)
      assert.strictEqual(seen, "Unavailable busy")
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", leased: true, intent: "open" })
      assert.notInclude(yield* events, "expired")
    }).pipe(scenario(shortLease))
  )

  it.effect("has committed when this process gets a dead token: its token is adopted", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const accounts = yield* ConnectedAccounts
      const { id, refreshToken } = yield* connected()
      yield* provider.revoke(refreshToken)
      yield* provider.next({ _tag: "LateAnswer", delay: "5 seconds" })
      const ours = yield* Effect.forkChild(Effect.result(accounts.refresh(id)))
      yield* elapse("3 seconds")
      yield* leaseAs(id, "them")
      yield* commit(id, theirs)
      assert.deepStrictEqual(yield* told(ours), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 2 })
      assert.deepStrictEqual(yield* events, ["renewed"])
    }).pipe(scenario(shortLease))
  )
})
