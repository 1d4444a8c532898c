/** The state after a process died: an intent whose lease ended, and the requests that may follow. */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { Consent, Renewer, type RenewerOptions } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
import { HttpBody, HttpClient } from "effect/http"
import { SqlClient } from "effect/sql"
import {
  connected,
  elapse,
  events,
  leaseAs,
  refresh,
  scenario,
  secretsOf,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** A process takes the lease, may spend the token, and dies. Its lease has ended when this returns. */
const died = Effect.fnUntraced(function* (id: ConnectedAccountId, spent?: string) {
  yield* leaseAs(id, "a process that died", 20_000)
  if (spent !== undefined) {
    const provider = yield* ScriptedProvider.ScriptedProvider
    const wire = yield* Wire
    const body = HttpBody.urlParams({ grant_type: "refresh_token", refresh_token: spent })
    const answer = yield* HttpClient.post(provider.tokenUrl, { body })
    assert.strictEqual(answer.status, 200)
    wire.sent.length = 0
  }
  yield* elapse("21 seconds", "1 second")
})

const window = Duration.minutes(10)
/** Callers who wait for longer than a lease. */
const patient = { engine: { coordinator: { patience: "2 minutes" } } } as const

describe("after a process died between intent and answer", () => {
  for (const spent of [false, true]) {
    const what = spent ? "spent" : "perhaps not even sent"

    for (const rotation of ["none", "rolling"] as const) {
      it.effect(`a ${rotation} token that was ${what} is simply sent again`, () =>
        Effect.gen(function* () {
          const { id, refreshToken } = yield* connected({ profile: { rotation } })
          yield* died(id, spent ? refreshToken : undefined)
          assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
          assert.strictEqual(yield* sends, 1)
        }).pipe(scenario({ provider: { rotation } }))
      )
    }

    it.effect(`a single-use token that was ${what} is sent again inside the reuse window`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id, refreshToken } = yield* connected({ expired: true, profile: { reuseWindow: window } })
        yield* died(id, spent ? refreshToken : undefined)
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
        assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 2, intent: "closed" })
        const tokens = yield* secretsOf(id)
        assert.isTrue(yield* provider.isLive(tokens["access_token"] ?? ""))
        assert.strictEqual((yield* provider.counts).revokedGrants, 0)
      }).pipe(scenario({ provider: { reuseWindow: window } }))
    )
  }

  it.effect("a strict single-use token is not sent while the access token lasts, and once when it is over", () =>
    Effect.gen(function* () {
      const { expiresAt, id } = yield* connected()
      yield* died(id)
      for (let asked = 0; asked < 3; asked++) assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 0)
      assert.deepInclude(summary(yield* stored(id)), { generation: 1, intent: "open" })
      yield* elapse(expiresAt - (yield* Clock.currentTimeMillis) + 1, "5 minutes")
      // It had not been spent, so the one try succeeds.
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 1)
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 2, intent: "closed" })
    }).pipe(scenario())
  )

  it.effect("a strict single-use token that was spent ends in consent, and the reason says what was lost", () =>
    Effect.gen(function* () {
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* died(id, refreshToken)
      assert.strictEqual((yield* refresh(id))._tag, "RedirectRequired")
      assert.deepInclude(summary(yield* stored(id)), {
        status: "EXPIRED",
        reason: "rotation_response_lost",
        generation: 1,
        intent: "closed"
      })
      assert.strictEqual(yield* sends, 1)
      assert.deepStrictEqual(yield* events, ["expired", "consent_started"])
    }).pipe(scenario(patient))
  )

  it.effect("a single-use token outside its reuse window counts as strict", () =>
    Effect.gen(function* () {
      const { id, refreshToken } = yield* connected({ profile: { reuseWindow: window } })
      yield* died(id, refreshToken)
      yield* elapse("11 minutes", "1 minute")
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 0)
    }).pipe(scenario({ provider: { reuseWindow: window } }))
  )

  it.effect("its lease is watched for as long as leases last before its single-use token is sent again", () =>
    Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      yield* died(id)
      const before = yield* Clock.currentTimeMillis
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      const waited = (yield* Clock.currentTimeMillis) - before
      assert.isAtLeast(waited, 60_000)
      assert.isAtMost(waited, 62_000)
    }).pipe(scenario(patient))
  )

  it.effect("an intent of an older generation says nothing about a new grant", () =>
    Effect.gen(function* () {
      const consent = yield* Consent
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* died(id)
      const { url } = yield* consent.start(yield* stored(id))
      const state = new URL(url).searchParams.get("state") ?? ""
      yield* consent.complete(new URLSearchParams({ state, code: yield* provider.authorize }))
      assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
      const wire = yield* Wire
      wire.sent.length = 0
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 1, "the new grant's token was never sent, and can be")
      assert.deepInclude(summary(yield* stored(id)), { generation: 3, intent: "closed" })
    }).pipe(scenario())
  )
})

/** Accounts of a process that died during their renewals. They are due again, and their leases have ended. */
const abandoned = Effect.fnUntraced(function* (count: number, options?: Parameters<typeof connected>[0]) {
  const accounts = yield* Effect.replicateEffect(connected({ expired: true, ...options }), count)
  yield* Effect.forEach(accounts, ({ id }) => leaseAs(id, "a process that died", 20_000))
  yield* elapse("21 seconds")
  return accounts
})

const renewing = (options?: RenewerOptions) => Layer.build(Renewer.layer(options))

/** The number of renewed accounts. */
const renewed = (accounts: ReadonlyArray<{ readonly id: ConnectedAccountId }>) =>
  Effect.map(
    Effect.forEach(accounts, ({ id }) => stored(id)),
    (rows) => rows.filter(({ generation }) => generation === 2).length
  )

describe("what a process that died left, in bulk", () => {
  it.effect("does not keep the renewer from other accounts of the provider that are due", () =>
    Effect.gen(function* () {
      const profile = { requestsPerSecond: 4 }
      const left = yield* abandoned(30, { profile })
      const healthy = yield* Effect.replicateEffect(connected({ expired: true, profile }), 30)
      yield* renewing({ concurrency: 8, maxClaimed: 20 })
      yield* elapse("15 seconds")
      assert.strictEqual(yield* renewed(healthy), 30)
      yield* elapse("90 seconds")
      assert.strictEqual(yield* renewed(left), 30)
      assert.strictEqual((yield* ScriptedProvider.ScriptedProvider.use(({ counts }) => counts)).replays, 0)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("is settled although a clock that was ahead gave its leases an end that is far off", () =>
    Effect.gen(function* () {
      const accounts = yield* Effect.replicateEffect(connected({ expired: true }), 3)
      yield* Effect.forEach(accounts, ({ id }) => leaseAs(id, "a process that died", 24 * 3_600_000))
      yield* renewing({ claimFor: "2 minutes" })
      yield* elapse("50 seconds")
      assert.strictEqual(yield* renewed(accounts), 0, "a holder may be at work")
      yield* elapse("5 minutes", "5 seconds")
      assert.strictEqual(yield* renewed(accounts), 3)
      assert.strictEqual((yield* ScriptedProvider.ScriptedProvider.use(({ counts }) => counts)).replays, 0)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("is settled as fast as the provider's limit allows once its leases were watched, however much it is", () =>
    Effect.gen(function* () {
      const left = yield* abandoned(250, { profile: { requestsPerSecond: 1_000 } })
      yield* renewing()
      yield* elapse("2 minutes")
      assert.strictEqual(yield* renewed(left), 250)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("is settled although a whole page of accounts before it cannot be", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [unreadable] = yield* abandoned(1)
      const [last] = yield* abandoned(1)
      // A sealed credential opens only in its own row, so these cannot be renewed.
      const columns = sql.literal(
        (yield* sql`SELECT name FROM pragma_table_info('rekindle_accounts')`)
          .map(({ name }) => String(name))
          .filter((name) => name !== "id" && name !== "public_id")
          .join(", ")
      )
      yield* sql`INSERT INTO rekindle_accounts (id, public_id, ${columns})
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 550)
        SELECT 'ca_unreadable' || n, 'ca_unreadable' || n, ${columns} FROM rekindle_accounts, numbers WHERE id = ${unreadable?.id ?? ""}`
      yield* sql`UPDATE rekindle_accounts SET renew_at = NULL`
      yield* renewing()
      yield* elapse("100 seconds", "5 seconds")
      assert.strictEqual(yield* renewed(last === undefined ? [] : [last]), 1)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("of one provider does not keep another provider's from being settled", () =>
    Effect.gen(function* () {
      const slow = { configId: "slow", profile: { name: "slow", requestsPerSecond: 0.1 } }
      yield* abandoned(150, slow)
      const other = yield* abandoned(5, { configId: "other", profile: { name: "other" } })
      yield* (yield* SqlClient.SqlClient)`UPDATE rekindle_accounts SET renew_at = NULL`
      yield* renewing()
      yield* elapse("2 minutes")
      assert.strictEqual(yield* renewed(other), 5)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("costs the provider's limit nothing while an access token in doubt can still be served", () =>
    Effect.gen(function* () {
      const profile = { requestsPerSecond: 1 }
      const left = yield* Effect.replicateEffect(connected({ profile }), 40)
      yield* Effect.forEach(left, ({ id }) => leaseAs(id, "a process that died", 20_000))
      const sql = yield* SqlClient.SqlClient
      const now = yield* Clock.currentTimeMillis
      yield* sql`UPDATE rekindle_accounts SET renew_at = ${now}`
      yield* elapse("21 seconds")
      yield* renewing()
      yield* elapse("2 minutes")
      const healthy = yield* Effect.replicateEffect(connected({ expired: true, profile }), 20)
      yield* elapse("30 seconds")
      assert.strictEqual(yield* renewed(healthy), 20)
    }).pipe(Effect.scoped, scenario())
  )
})

describe("an imported credential", () => {
  it.effect("with a refresh token alone has no access token to serve: the first reader gets a new one", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const provider = yield* ScriptedProvider.ScriptedProvider
      yield* connected()
      const { refreshToken } = yield* provider.connect
      const { id } = yield* connections.create({
        authConfigId: "scripted",
        userId: "imported",
        secrets: { refresh_token: Redacted.make(refreshToken) }
      })
      assert.isNotNull((yield* stored(id)).renewAt)
      const token = yield* settle(connections.accessToken(id))
      assert.isTrue(yield* provider.isLive(Redacted.value(token)))
    }).pipe(scenario())
  )

  it.effect("with a refresh token alone is never reported ready when its renewal gets no answer", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const connections = yield* Connections
      const provider = yield* ScriptedProvider.ScriptedProvider
      yield* connected()
      const { refreshToken } = yield* provider.connect
      const { id } = yield* connections.create({
        authConfigId: "scripted",
        userId: "imported",
        secrets: { refresh_token: Redacted.make(refreshToken) }
      })
      yield* provider.outage({ _tag: "ConnectionReset", applied: false }, "1 hour")
      const error = yield* settle(Effect.flip(accounts.refresh(id)))
      assert.strictEqual(error._tag, "RefreshFailed")
    }).pipe(scenario())
  )
})
