import { assert, describe, it, layer as liveLayer } from "@effect/vitest"
import { AuthConfig, ConnectedAccountId, ConnectedAccounts, Connections } from "@rekindle/core"
import { AccountStore, CredentialVault, Engine, Providers } from "@rekindle/engine"
import { ScriptedAccounts } from "@rekindle/testing"
import * as Contract from "@rekindle/testing/ConnectedAccountsContract"
import { Clock, Effect, Layer, Logger, Option, Redacted } from "effect"
import { AuthorizationServer } from "../src/support/AuthorizationServer.ts"
import { connect } from "../src/support/connect.ts"
import { layer, Service } from "../src/support/Service.ts"

/** Makes each situation of the contract as in real use: by consent, by revocation, by another process at work. */
const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.gen(function* () {
    const provider = yield* AuthorizationServer
    const accounts = yield* ConnectedAccounts
    const connections = yield* Connections
    const store = yield* AccountStore
    const { apiKey, vaultKey } = yield* Service
    yield* connections.authConfigs.register(provider.authConfig())
    yield* connections.authConfigs.register(provider.authConfig({ id: "open", scheme: "NO_AUTH", settings: {} }))

    const context = yield* Effect.context<Effect.Services<ReturnType<typeof connect>>>()
    let people = 0
    const connected = Effect.suspend(() => {
      const person = `person-${++people}`
      return Effect.map(connect(person), (id) => ({ id, person }))
    }).pipe(Effect.provideContext(context), Effect.orDie)
    const create = (authConfigId: string, secrets?: Readonly<Record<string, Redacted.Redacted>>) =>
      Effect.map(Effect.orDie(connections.create({ authConfigId, userId: "nobody", secrets })), ({ id }) => id)

    const revoked = Effect.flatMap(connected, ({ id, person }) => Effect.as(provider.revoke(person), id))

    return {
      renewable: Effect.map(connected, ({ id }) => id),
      dead: Effect.flatMap(revoked, (id) => Effect.orDie(Effect.as(accounts.refresh(id, { tokenRefused: true }), id))),
      expiring: revoked,
      consentOnActive: create("calendar", { access_token: Redacted.make("only-an-access-token") }),
      inactive: Effect.flatMap(connected, ({ id }) => Effect.orDie(Effect.as(connections.disable(id), id))),
      unsupported: create("open"),
      unknown: Effect.succeed(ConnectedAccountId.make("ca_nobodynobody")),
      busy: Effect.gen(function* () {
        // Made without a refresh, because one could exceed the short patience.
        const id = yield* create("calendar", { refresh_token: Redacted.make("never-sent") })
        const account = Option.getOrThrow(yield* store.find(id))
        const now = yield* Clock.currentTimeMillis
        yield* store.begin({ account, owner: "another process", leaseMillis: 60_000, now })
        return id
      }).pipe(Effect.orDie),
      secrets: Effect.sync(() => [
        ...provider.secrets(),
        "only-an-access-token",
        Redacted.value(apiKey),
        Redacted.value(vaultKey.key)
      ])
    }
  })
)

const quiet = Layer.provide(Logger.layer([]))

// The clause about a busy account waits for the engine's whole patience. A short patience would break other clauses on a slow machine, so that
// clause runs on an engine of its own.
Contract.suite(
  "client, HTTP server and engine",
  Layer.effect(
    Contract.Fixtures,
    Effect.map(Contract.Fixtures, ({ busy: _busy, ...rest }) => rest)
  ).pipe(Layer.provideMerge(Layer.provideMerge(fixtures, layer())), quiet),
  { gaps: ["busy"], clock: "live" }
)

liveLayer(Layer.provideMerge(fixtures, layer({ coordinator: { patience: "300 millis" } })).pipe(quiet), {
  excludeTestServices: true
})("client, HTTP server and engine, with a short patience", (it) => {
  for (const { holds, name } of Contract.clauses.filter(({ needs }) => needs.includes("busy"))) {
    it.effect(name, () => holds)
  }
})

describe("a scripted account without answers", () => {
  const engine = Engine.layerSqlite(":memory:", { consent: { callbackUrl: "https://app.example.com/callback" } }).pipe(
    Layer.provide(CredentialVault.layerEphemeral)
  )

  /** What a caller can distinguish in an answer, and the account's record afterwards. */
  const seen = Effect.fnUntraced(function* (accounts: ConnectedAccounts["Service"], id: ConnectedAccountId) {
    const answer = yield* Effect.match(accounts.refresh(id), {
      onFailure: (error) => [error._tag, "slug" in error ? error.slug : undefined],
      onSuccess: (outcome) => [outcome._tag, "status" in outcome ? outcome.status : undefined]
    })
    const reads = yield* Effect.match(accounts.get(id), {
      onFailure: (error) => [error._tag, "slug" in error ? error.slug : undefined],
      onSuccess: ({ isDisabled, status }) => [status, isDisabled]
    })
    return { answer, reads }
  })

  it.effect("answers as the engine does, down to the slug", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const real = yield* ConnectedAccounts
      yield* connections.authConfigs.register(
        Providers.spotify.authConfig({ id: "music", clientId: "id", clientSecret: "secret" })
      )
      yield* connections.authConfigs.register(
        AuthConfig.make({ id: "key", toolkit: "key", scheme: "API_KEY", hosts: [] })
      )
      yield* connections.authConfigs.register(
        AuthConfig.make({ id: "open", toolkit: "open", scheme: "NO_AUTH", hosts: [] })
      )
      const create = (authConfigId: string, secrets?: Readonly<Record<string, Redacted.Redacted>>) =>
        Effect.map(connections.create({ authConfigId, userId: "ada", secrets }), ({ id }) => id)
      const key = { api_key: Redacted.make("key") }

      const off = yield* create("key", key)
      yield* connections.disable(off)
      const gone = yield* create("key", key)
      yield* connections.revoke(gone)
      const openAndOff = yield* create("open", key)
      yield* connections.disable(openAndOff)
      const ids = [
        off,
        gone,
        openAndOff,
        yield* create("key", key),
        yield* create("key"),
        yield* create("music"),
        yield* create("open")
      ]
      const records = yield* Effect.forEach(ids, real.get)
      const unknown = [
        ConnectedAccountId.make("ca_nobodynobody"),
        ConnectedAccountId.make("nonsense", { disableChecks: true })
      ]
      const script = ScriptedAccounts.layer(
        records.map(({ id, state, status }) => ScriptedAccounts.account({ id, status, authScheme: state.authScheme }))
      )
      const scripted = yield* Effect.provide(ConnectedAccounts, script)
      const all = [...ids, ...unknown]
      const byEngine = yield* Effect.forEach(all, (id) => seen(real, id))
      assert.deepStrictEqual(yield* Effect.forEach(all, (id) => seen(scripted, id)), byEngine)
      assert.deepStrictEqual(
        byEngine.map(({ answer: [tag] }) => tag),
        [
          ...["InvalidRequest", "InvalidRequest", "InvalidRequest"],
          ...["Ready", "NotReady", "RedirectRequired", "RefreshUnsupported"],
          ...["AccountNotFound", "InvalidRequest"]
        ]
      )
    }).pipe(Effect.provide(engine))
  )
})
