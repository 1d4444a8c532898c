/** Static credentials: they cannot be renewed, only validated, and an outage must not count as a refusal. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { StoreError } from "@rekindle/engine"
import { Effect, Redacted } from "effect"
import {
  authConfig,
  connected,
  events,
  probeUrl,
  refresh,
  refused,
  scenario,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

/** An account with an API key that can be validated at the probe address, unless `probe` is false. */
const withKey = Effect.fnUntraced(function* (options: { readonly probe?: boolean } = {}) {
  const connections = yield* Connections
  yield* connections.authConfigs.register(
    authConfig(
      "key",
      {},
      {
        scheme: "API_KEY",
        settings: options.probe === false ? {} : { probeUrl, keyHeader: "x-key" },
        secrets: {}
      }
    )
  )
  const { id } = yield* connections.create({
    authConfigId: "key",
    userId: "u",
    secrets: { api_key: Redacted.make("first key") }
  })
  return id
})

const validate = { validateCredentials: true }

describe("an API key", () => {
  it.effect("is ready, untried, when nobody asks for validation", () =>
    Effect.gen(function* () {
      const id = yield* withKey()
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.lengthOf((yield* Wire).probed, 0)
    }).pipe(scenario())
  )

  it.effect("that works is ready", () =>
    Effect.gen(function* () {
      const id = yield* withKey()
      assert.deepStrictEqual(yield* refresh(id, validate), { _tag: "Ready", id })
      assert.deepStrictEqual((yield* Wire).probed, ["first key"])
      assert.deepStrictEqual(yield* events, [])
    }).pipe(scenario())
  )

  it.effect("that is refused expires the account, once", () =>
    Effect.gen(function* () {
      const id = yield* withKey()
      ;(yield* Wire).probes.push(401, 401)
      for (let asked = 0; asked < 2; asked++) {
        assert.deepStrictEqual(yield* refresh(id, validate), { _tag: "NotReady", id, status: "EXPIRED" })
      }
      assert.deepInclude(summary(yield* stored(id)), { status: "EXPIRED", reason: "credential_rejected" })
      assert.deepStrictEqual(yield* events, ["expired"])
    }).pipe(scenario())
  )

  for (const status of [500, 502, 503, 429, 403, 404, 302]) {
    it.effect(`is neither confirmed nor refuted by a ${status}`, () =>
      Effect.gen(function* () {
        const id = yield* withKey()
        const before = yield* stored(id)
        ;(yield* Wire).probes.push(status)
        const error = yield* refused(id, validate)
        assert.strictEqual(error._tag, "Unavailable")
        assert.strictEqual("slug" in error && error.slug, "unverified")
        assert.deepStrictEqual(yield* stored(id), before)
      }).pipe(scenario())
    )
  }

  it.effect("of a config without a probe address is not called valid", () =>
    Effect.gen(function* () {
      const id = yield* withKey({ probe: false })
      assert.strictEqual((yield* refused(id, validate))._tag, "RefreshUnsupported")
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("that works again brings an expired account back", () =>
    Effect.gen(function* () {
      const id = yield* withKey()
      ;(yield* Wire).probes.push(401)
      yield* refresh(id, validate)
      assert.deepStrictEqual(yield* refresh(id), { _tag: "NotReady", id, status: "EXPIRED" })
      assert.deepStrictEqual(yield* refresh(id, validate), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: null })
      assert.deepStrictEqual(yield* events, ["expired", "renewed", "recovered"])
    }).pipe(scenario())
  )

  it.effect("entered anew puts an expired account back into service", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* withKey()
      ;(yield* Wire).probes.push(401)
      yield* refresh(id, validate)
      yield* connections.replaceSecrets(id, { api_key: Redacted.make("second key") })
      assert.deepStrictEqual(yield* refresh(id, validate), { _tag: "Ready", id })
      assert.deepStrictEqual((yield* Wire).probed, ["first key", "second key"])
    }).pipe(scenario())
  )

  it.effect("entered anew while the old one is being tried is not blamed for the old one", () => {
    let meanwhile: Effect.Effect<void> = Effect.void
    return Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* withKey()
      ;(yield* Wire).probes.push(401)
      meanwhile = Effect.suspend(() => {
        meanwhile = Effect.void
        return Effect.orDie(connections.replaceSecrets(id, { api_key: Redacted.make("second key") }))
      })
      assert.deepStrictEqual(yield* refresh(id, validate), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 2 })
    }).pipe(
      scenario({
        // The verdict is written after the probe. The new key arrives just before.
        store: (store) => ({
          ...store,
          write: (change) =>
            change.to.status === "EXPIRED"
              ? Effect.andThen(
                  Effect.suspend(() => meanwhile),
                  store.write(change)
                )
              : store.write(change)
        })
      })
    )
  })
})

describe("an account that is not to be refreshed", () => {
  it.effect("because it is disabled says so with 400, and is kept", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const { id } = yield* connected()
      yield* connections.disable(id)
      const error = yield* refused(id)
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.strictEqual("slug" in error && error.slug, "account_not_refreshable")
      assert.lengthOf((yield* Wire).sent, 0)
      yield* connections.enable(id)
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
    }).pipe(scenario())
  )

  it.effect("because it is revoked says so with 400, for good", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const { id } = yield* connected()
      yield* settle(connections.revoke(id))
      yield* connections.enable(id)
      assert.strictEqual((yield* refused(id, validate))._tag, "InvalidRequest")
      assert.deepInclude(summary(yield* stored(id)), { status: "REVOKED", reason: "revoked" })
    }).pipe(scenario())
  )

  it.effect("because its scheme has nothing to refresh says so with 501", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(authConfig("none", {}, { scheme: "NO_AUTH", settings: {}, secrets: {} }))
      const { id, status } = yield* connections.create({ authConfigId: "none", userId: "u" })
      assert.strictEqual(status, "ACTIVE")
      assert.strictEqual((yield* refused(id))._tag, "RefreshUnsupported")
    }).pipe(scenario())
  )

  it.effect("because the store is down says so with 503, and nothing was sent", () => {
    let down = false
    return Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const { id } = yield* connected()
      down = true
      const error = yield* settle(Effect.flip(accounts.refresh(id)))
      assert.strictEqual(error._tag, "Unavailable")
      assert.lengthOf((yield* Wire).sent, 0)
    }).pipe(
      scenario({
        store: (store) => ({
          ...store,
          findIn: (projectId, id) =>
            down ? Effect.fail(new StoreError({ message: "down" })) : store.findIn(projectId, id)
        })
      })
    )
  })
})
