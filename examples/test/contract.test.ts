import { ConnectedAccountId } from "@rekindle/core"
import { AccountStore, Connections } from "@rekindle/engine"
import * as Contract from "@rekindle/testing/ConnectedAccountsContract"
import { Clock, Effect, Layer, Logger, Option, Redacted } from "effect"
import { AuthorizationServer } from "../src/support/AuthorizationServer.ts"
import { connect } from "../src/support/connect.ts"
import { layer, Service } from "../src/support/Service.ts"

/** The contract's situations, each made as it comes about in life: consent, revocation, another process at work. */
const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.gen(function* () {
    const provider = yield* AuthorizationServer
    const connections = yield* Connections
    const store = yield* AccountStore
    const { apiKey, vaultKey } = yield* Service
    yield* connections.register(provider.authConfig())
    yield* connections.register(provider.authConfig({ id: "open", scheme: "NO_AUTH", settings: {} }))

    const context = yield* Effect.context<Effect.Services<ReturnType<typeof connect>>>()
    let people = 0
    const connected = Effect.suspend(() => {
      const person = `person-${++people}`
      return Effect.map(connect(person), (id) => ({ id, person }))
    }).pipe(Effect.provideContext(context), Effect.orDie)
    const create = (authConfigId: string, secrets?: Readonly<Record<string, Redacted.Redacted>>) =>
      Effect.map(Effect.orDie(connections.create({ authConfigId, userId: "nobody", secrets })), ({ id }) => id)

    return {
      renewable: Effect.map(connected, ({ id }) => id),
      dead: Effect.flatMap(connected, ({ id, person }) => Effect.as(provider.revoke(person), id)),
      consentOnActive: create("calendar", { access_token: Redacted.make("only-an-access-token") }),
      inactive: Effect.flatMap(connected, ({ id }) => Effect.orDie(Effect.as(connections.disable(id), id))),
      unsupported: create("open"),
      unknown: Effect.succeed(ConnectedAccountId.make("ca_nobodynobody")),
      busy: Effect.gen(function* () {
        const { id } = yield* connected
        const account = Option.getOrThrow(yield* store.find(id))
        const now = yield* Clock.currentTimeMillis
        yield* store.begin({ account, owner: "another process", leaseMillis: 60_000, intentHash: "hash", now })
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

// The patience is short, so that the clause about a busy account does not keep the suite waiting.
const service = layer({ coordinator: { patience: "300 millis" } })

Contract.suite(
  "client, HTTP server and engine",
  Layer.provideMerge(fixtures, service).pipe(Layer.provide(Logger.layer([]))),
  {
    clock: "live"
  }
)
