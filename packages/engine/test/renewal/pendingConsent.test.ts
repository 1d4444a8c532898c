/** While a person is looking at the consent page, the old credential stays in service, and no poller sees a final status. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Consent } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect, Redacted } from "effect"
import { accessOnly, consents, link, statusOf } from "../support/ScriptedConsent.ts"
import {
  connected,
  elapse,
  events,
  join,
  refresh,
  rest,
  scenario,
  secretsOf,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

describe("while consent is pending", () => {
  it.effect("an active account stays ACTIVE and keeps its token", () =>
    Effect.gen(function* () {
      const id = yield* accessOnly
      const outcome = yield* refresh(id)
      assert.deepInclude(outcome, { _tag: "RedirectRequired", status: "ACTIVE" })
      assert.strictEqual(yield* statusOf(id), "ACTIVE")
      const token = yield* (yield* Connections).accessToken(id)
      assert.strictEqual(Redacted.value(token), "all there is")
    }).pipe(scenario())
  )

  it.effect("an expired account reads INITIATED, and EXPIRED again when nobody came", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      const url = yield* link(id)
      assert.strictEqual(yield* statusOf(id), "INITIATED")
      yield* elapse("10 minutes", "1 minute")
      assert.strictEqual(yield* statusOf(id), "EXPIRED")
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "grant_dead" })
      assert.isTrue(url.searchParams.has("state"))
    }).pipe(scenario())
  )

  it.effect("an expired account comes back under the same id", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      assert.strictEqual((yield* consents(yield* link(id))).status, "ACTIVE")
      assert.deepStrictEqual(yield* events, ["expired", "consent_started", "consent_completed", "recovered"])
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("a disabled account stays disabled, with the new credential for later", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* accessOnly
      const url = yield* link(id)
      yield* connections.disable(id)
      assert.strictEqual((yield* consents(url)).status, "INACTIVE")
      yield* connections.enable(id)
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("an account that is revoked stays revoked, and the code is not exchanged", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* accessOnly
      const url = yield* link(id)
      yield* settle(connections.revoke(id))
      const sent = (yield* Wire).sent.length
      yield* Effect.flip(consents(url))
      assert.lengthOf((yield* Wire).sent, sent)
      assert.strictEqual((yield* stored(id)).status, "REVOKED")
    }).pipe(scenario())
  )

  it.effect("a renewal under way does not overwrite what the person gave, and holds nothing back afterwards", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const consent = yield* Consent
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      const { url } = yield* settle(consent.start(yield* stored(id)))
      yield* provider.next({ _tag: "LateAnswer", delay: "5 seconds" })
      const renewal = yield* Effect.forkChild(accounts.refresh(id))
      yield* rest
      assert.strictEqual((yield* consents(new URL(url))).status, "ACTIVE")
      const given = yield* secretsOf(id)
      assert.deepStrictEqual(yield* join(renewal), { _tag: "Ready", id })
      assert.deepStrictEqual(yield* secretsOf(id), given)
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )
})
