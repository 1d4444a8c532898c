/** Changes to an account, while a renewal or a consent of it is under way. */
import { assert, describe, it } from "@effect/vitest"
import { type AccountChanges, type ConnectedAccountId, Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { consents, link } from "../support/ScriptedConsent.ts"
import {
  attributesOf,
  authConfig,
  beginning,
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
  Wire
} from "../support/ScriptedEngine.ts"

const update = (id: ConnectedAccountId, changes: AccountChanges) =>
  Effect.flatMap(Connections, (connections) => connections.update(id, changes))

/** Changes an account whose token is on its way to the provider. The renewal is completed. */
const duringRenewal = Effect.fnUntraced(function* (id: ConnectedAccountId, changes: AccountChanges) {
  const wire = yield* Wire
  wire.meets = () => Effect.as(Effect.sleep("5 seconds"), undefined)
  const renewal = yield* Effect.forkChild(refresh(id, { validateCredentials: true }))
  yield* elapse("1 second")
  assert.lengthOf(wire.sent, 1, "the token is on its way")
  const shown = yield* update(id, changes)
  yield* join(renewal)
  yield* rest
  return shown
})

const bytes = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
const idToken = (sub: string) => Redacted.make(`.${bytes({ iss: "https://provider.test", sub })}.`)

describe("a change during a renewal", () => {
  it.effect("of an attribute loses neither the attribute nor the renewed token", () =>
    Effect.gen(function* () {
      const { id, refreshToken } = yield* connected({ expiresIn: "1 minute" })
      yield* duringRenewal(id, { attributes: { shop: "acme" } })
      assert.deepInclude(yield* attributesOf(id), { shop: "acme" })
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.deepInclude(yield* stored(id), { status: "ACTIVE", generation: 2 })
      yield* refresh(id, { validateCredentials: true })
      assert.deepInclude(yield* attributesOf(id), { shop: "acme" })
    }).pipe(scenario())
  )

  it.effect("of the access token alone does not cost the refresh token that the renewal brings", () =>
    Effect.gen(function* () {
      const { id, refreshToken } = yield* connected({ expiresIn: "1 minute" })
      yield* duringRenewal(id, { secrets: { access_token: Redacted.make("brought") } })
      const after = yield* secretsOf(id)
      assert.notStrictEqual(after["refresh_token"], refreshToken)
      assert.notStrictEqual(after["access_token"], "brought")
      assert.deepInclude(yield* stored(id), { generation: 2, lease: null, intent: null })
    }).pipe(scenario())
  )

  it.effect("of the refresh token is not overwritten by the answer for the token before it", () =>
    Effect.gen(function* () {
      const { id } = yield* connected({ expiresIn: "1 minute" })
      const before = yield* stored(id)
      yield* duringRenewal(id, { secrets: { refresh_token: Redacted.make("brought") } })
      // The access token of the grant before it is not handed out for the new one.
      assert.deepStrictEqual(yield* secretsOf(id), { refresh_token: "brought" })
      const after = yield* stored(id)
      assert.notStrictEqual(after.grantId, before.grantId)
      assert.deepInclude(after, { generation: 2, lease: null, intent: null })
    }).pipe(scenario())
  )
})

describe("secrets that are merged", () => {
  it.effect("into an account of another person are refused, and it is unchanged", () =>
    Effect.gen(function* () {
      const { authConfigs, create } = yield* Connections
      const config = authConfig("scripted")
      yield* authConfigs.register(config)
      const secrets = { access_token: Redacted.make("token"), id_token: idToken("ada") }
      const { id } = yield* create({ authConfigId: "scripted", userId: "ada", secrets })
      const before = yield* stored(id)
      const bobs = { secrets: { access_token: Redacted.make("bobs"), id_token: idToken("bob") } }
      const error = yield* Effect.flip(update(id, bobs))
      assert.deepInclude(error, { _tag: "InvalidRequest", slug: "identity_mismatch" })
      assert.deepStrictEqual(yield* stored(id), before)
      yield* authConfigs.update("scripted", { allowAnotherIdentity: true })
      yield* update(id, bobs)
      assert.strictEqual((yield* secretsOf(id))["access_token"], "bobs")
    }).pipe(scenario())
  )

  it.effect("have a new life, and a wrong one says its name and not its value", () =>
    Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      yield* update(id, { secrets: { access_token: Redacted.make("brought") } })
      const { expiresAt, obtainedAt, renewAt } = yield* stored(id)
      assert.deepStrictEqual([expiresAt, obtainedAt], [beginning + 3_600_000, beginning])
      assert.isBelow(renewAt ?? Infinity, beginning + 3_600_000)
      const error = yield* Effect.flip(update(id, { secrets: { acess_token: Redacted.make("sesame") } }))
      assert.deepInclude(error, { _tag: "InvalidRequest", slug: "invalid_secrets" })
      assert.include(JSON.stringify(error), "acess_token")
      assert.notInclude(JSON.stringify(error), "sesame")
    }).pipe(scenario())
  )

  it.effect("put an account that had expired back into service, and a change of its name does not", () =>
    Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      yield* update(id, { secrets: { refresh_token: null, access_token: Redacted.make("old") } })
      yield* elapse("2 hours", "1 minute")
      yield* refresh(id)
      const expired = yield* stored(id)
      assert.strictEqual(expired.status, "EXPIRED")
      yield* update(id, { alias: "work", attributes: { shop: "acme" } })
      assert.deepInclude(yield* stored(id), { status: "EXPIRED", updatedAt: expired.updatedAt, alias: "work" })
      yield* update(id, { secrets: { access_token: Redacted.make("new") } })
      assert.strictEqual((yield* stored(id)).status, "ACTIVE")
      assert.include(yield* events, "recovered")
    }).pipe(scenario())
  )
})

describe("attributes that the application gave", () => {
  it.effect("outlive a renewal and a consent, until they are removed", () =>
    Effect.gen(function* () {
      const { authConfigs, create, update } = yield* Connections
      yield* authConfigs.register(authConfig("scripted"))
      const { id } = yield* create({ authConfigId: "scripted", userId: "u", attributes: { shop: "acme", old: 1 } })
      yield* consents(yield* link(id))
      assert.deepInclude(yield* attributesOf(id), { shop: "acme", old: 1 })
      yield* update(id, { attributes: { shop: "bolt", old: null } })
      yield* refresh(id, { validateCredentials: true })
      assert.deepInclude(yield* attributesOf(id), { shop: "bolt" })
      const { url } = yield* settle(Effect.flatMap(Connections, (connections) => connections.link(id)))
      yield* consents(new URL(url))
      const attributes = yield* attributesOf(id)
      assert.deepInclude(attributes, { shop: "bolt" })
      assert.notProperty(attributes, "old")
    }).pipe(scenario())
  )

  it.effect("do not make an account that was never connected look connected", () =>
    Effect.gen(function* () {
      const { authConfigs, create, revoke } = yield* Connections
      yield* authConfigs.register(authConfig("scripted"))
      for (const attributes of [{}, { shop: "acme" }]) {
        const { id } = yield* create({ authConfigId: "scripted", userId: "u", attributes })
        assert.deepInclude(yield* stored(id), { generation: 0, obtainedAt: 0, renewAt: null, status: "INITIALIZING" })
        // Nothing has to be withdrawn at the provider, and nothing is left here.
        assert.deepStrictEqual(yield* settle(revoke(id)), { withdrawn: "confirmed", answer: null })
        assert.deepInclude(yield* stored(id), { credential: null, renewAt: null })
      }
    }).pipe(scenario())
  )
})
