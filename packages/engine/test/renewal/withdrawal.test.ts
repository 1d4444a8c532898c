/** A revoked credential is withdrawn until the provider confirms, and is then erased. */
import { assert, describe, it } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts, Connections, CustomAuthScheme } from "@rekindle/core"
import { AccountStore, type AuthStrategy, Renewer, type Revocation } from "@rekindle/engine"
import { Effect, Layer, Metric, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import { authConfig, beginning, elapse, scenario, settle, start, stored } from "../support/ScriptedEngine.ts"
import { temporary } from "../support/StoreTrouble.ts"

const scheme = CustomAuthScheme.make("CUSTOM")

const busy: Revocation = { _tag: "Unconfirmed", code: "http_503" }

/** A provider that answers revocations in this order, and confirms all later ones. Also returns the tokens that were sent to it. */
const provider = (...answers: ReadonlyArray<Revocation>) => {
  const queue = [...answers]
  const asked: Array<string> = []
  const strategy: AuthStrategy = {
    scheme,
    check: () => Effect.succeed([]),
    revoke: ({ credential }) =>
      Effect.sync(() => {
        asked.push(Redacted.value(credential.secrets["key"] ?? Redacted.make("")))
        return queue.shift() ?? { _tag: "Confirmed" }
      })
  }
  return { asked, strategy, options: { engine: { strategies: [Effect.succeed(strategy)] } } }
}

const account = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.authConfigs.register(authConfig("custom", {}, { scheme, settings: {} }))
  const { id } = yield* connections.create({
    authConfigId: "custom",
    userId: "u",
    secrets: { key: Redacted.make("first") }
  })
  yield* connections.replaceSecrets(id, { key: Redacted.make("second") })
  return id
})

const revoke = (id: ConnectedAccountId) => Effect.flatMap(Connections, (connections) => settle(connections.revoke(id)))

/** The sealed values of the account. */
const left = (id: ConnectedAccountId) =>
  Effect.map(stored(id), ({ credential, previousCredential, renewAt }) => [credential, previousCredential, renewAt])

describe("a probe and a withdrawal", () => {
  it.effect("are counted as calls to the provider, with what came of them", () => {
    const { options, strategy } = provider(busy)
    const probing: AuthStrategy = { ...strategy, validate: () => Effect.succeed({ _tag: "Valid" }) }
    return Effect.gen(function* () {
      const id = yield* account
      const accounts = yield* ConnectedAccounts
      yield* settle(accounts.refresh(id, { validateCredentials: true }))
      yield* revoke(id)
      const counted = (yield* Metric.snapshot).filter((metric) => metric.id === "rekindle.provider.calls")
      const { name } = authConfig("custom").profile
      assert.sameDeepMembers(
        counted.map(({ attributes }) => attributes),
        [
          { operation: "validation", provider: name, verdict: "Valid", attempt: "1" },
          { operation: "withdrawal", provider: name, verdict: "Unconfirmed", attempt: "1" }
        ]
      )
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      scenario({ ...options, engine: { strategies: [Effect.succeed(probing)] } })
    )
  })
})

describe("a revocation", () => {
  it.effect("that the provider confirms leaves no credential behind", () => {
    const { asked, options } = provider()
    return Effect.gen(function* () {
      const id = yield* account
      assert.deepStrictEqual(yield* revoke(id), { withdrawn: "confirmed", answer: null })
      assert.deepStrictEqual(yield* left(id), [null, null, null])
      assert.deepStrictEqual(asked, ["second"])
      assert.deepStrictEqual(yield* revoke(id), { withdrawn: "confirmed", answer: null })
      assert.lengthOf(asked, 1)
    }).pipe(scenario(options))
  })

  it.effect("answered with 503 is pending, and the renewer tries on until it is confirmed", () => {
    const { asked, options } = provider(busy, busy, busy)
    return Effect.gen(function* () {
      const id = yield* account
      assert.deepStrictEqual(yield* revoke(id), { withdrawn: "pending", answer: "http_503" })
      assert.isNotNull((yield* stored(id)).credential)
      yield* Layer.build(Renewer.layer())
      yield* elapse("10 minutes", "5 seconds")
      assert.lengthOf(asked, 4)
      assert.deepStrictEqual(yield* left(id), [null, null, null])
      assert.deepStrictEqual((yield* stored(id)).withdrawal, { state: "confirmed", attempts: 4, answer: null })
    }).pipe(Effect.scoped, scenario(options))
  })

  it.effect("that is never confirmed is tried less and less often, and once a day in the end", () => {
    const { asked, options } = provider(...Array.from({ length: 1_000 }, () => busy))
    return Effect.gen(function* () {
      const id = yield* account
      yield* revoke(id)
      yield* Layer.build(Renewer.layer({ pollInterval: "1 hour", recoveryInterval: "1 day" }))
      yield* elapse("3 days", "30 minutes")
      const before = asked.length
      assert.isAtMost(before, 16)
      yield* elapse("4 days", "30 minutes")
      assert.isAtLeast(asked.length - before, 3)
      assert.isAtMost(asked.length - before, 6)
    }).pipe(Effect.scoped, scenario(options))
  })

  it.effect("outlives the process that began it", () =>
    Effect.gen(function* () {
      const { asked, options } = provider(busy)
      yield* TestClock.setTime(beginning)
      const filename = join(yield* temporary, "engine.db")
      const one = yield* start({ ...options, filename })
      const id = yield* Effect.provideContext(Effect.tap(account, revoke), one.context)
      yield* settle(one.stop, "1 second")
      const two = yield* start({ ...options, filename })
      yield* Effect.gen(function* () {
        yield* Layer.build(Renewer.layer())
        yield* elapse("5 minutes", "5 seconds")
        assert.lengthOf(asked, 2)
        assert.deepStrictEqual(yield* left(id), [null, null, null])
      }).pipe(Effect.scoped, Effect.provideContext(two.context))
      yield* settle(two.stop, "1 second")
    }).pipe(Effect.scoped)
  )

  it.effect("that the provider does not know says so, and erases what is here", () => {
    const { options } = provider({ _tag: "Unsupported" })
    return Effect.gen(function* () {
      const id = yield* account
      assert.deepStrictEqual(yield* revoke(id), { withdrawn: "unsupported", answer: null })
      assert.deepStrictEqual(yield* left(id), [null, null, null])
    }).pipe(scenario(options))
  })

  it.effect("leaves the account as it is on request, if the provider is known to have none", () => {
    const { asked, options, strategy } = provider()
    const engine = { strategies: [Effect.succeed({ ...strategy, revocable: () => Effect.succeed(false) })] }
    return Effect.gen(function* () {
      const { accessToken, authConfigs, create, revoke } = yield* Connections
      const id = yield* account
      const refused = yield* Effect.flip(settle(revoke(id, { ifUnsupported: "refuse" })))
      assert.propertyVal(refused, "slug", "revocation_unsupported")
      assert.lengthOf(asked, 0)
      assert.strictEqual((yield* stored(id)).status, "ACTIVE")
      yield* authConfigs.register(authConfig("known"))
      const known = yield* create({
        authConfigId: "known",
        userId: "u",
        secrets: { access_token: Redacted.make("at"), refresh_token: Redacted.make("rt") }
      })
      assert.propertyVal(
        yield* Effect.flip(settle(revoke(known.id, { ifUnsupported: "refuse" }))),
        "slug",
        "revocation_unsupported"
      )
      assert.strictEqual(Redacted.value(yield* accessToken(known.id)), "at")
    }).pipe(scenario({ ...options, engine }))
  })

  it.effect("is not undone or held up by what comes after it", () => {
    const { asked, options } = provider(busy)
    return Effect.gen(function* () {
      const connections = yield* Connections
      const id = yield* account
      yield* revoke(id)
      yield* connections.enable(id)
      yield* connections.disable(id)
      const error = yield* Effect.flip(connections.replaceSecrets(id, { key: Redacted.make("third") }))
      assert.strictEqual("slug" in error && error.slug, "account_revoked")
      yield* Layer.build(Renewer.layer())
      yield* elapse("5 minutes", "5 seconds")
      assert.deepStrictEqual(asked, ["second", "second"])
      assert.deepStrictEqual(yield* left(id), [null, null, null])
      const store = yield* AccountStore
      assert.strictEqual(Option.getOrThrow(yield* store.find(id)).status, "REVOKED")
    }).pipe(Effect.scoped, scenario(options))
  })
})
