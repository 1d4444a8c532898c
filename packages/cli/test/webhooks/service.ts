/**
 * An engine and webhooks on one database, and accounts to which something happens.
 *
 * @module
 */
import {
  AuthConfig,
  type ConnectedAccountId,
  Connections,
  type ConnectionEventType,
  CurrentProject
} from "@rekindle/core"
import { AccountStore, CredentialVault, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { type WebhookSettings, WebhookSubscriptions } from "@rekindle/platform"
import { Clock, type Duration, Effect, Fiber, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { SqlClient, SqlError } from "effect/sql"
import { migrate } from "#cli/store/migrations.ts"
import * as Webhooks from "#cli/webhooks/Webhooks.ts"

/** One process: an engine, and its webhooks, which may go to loopback. */
export const processOn = (
  sql: Layer.Layer<SqlClient.SqlClient, SqlError.SqlError>,
  options: Webhooks.WebhookOptions = { privateHosts: ["*"] }
) =>
  Webhooks.layer(options).pipe(
    Layer.provide(Layer.effectDiscard(migrate)),
    Layer.provideMerge(Engine.layer({ consent: { callbackUrl: "https://rekindle.example.com/callback" } })),
    Layer.provideMerge(sql),
    Layer.provide(Journal.layerMemory),
    Layer.orDie
  )

/** A process on a database in memory, with a vault of its own. */
export const service = (options?: Webhooks.WebhookOptions) =>
  Effect.provide(
    processOn(SqliteClient.layer(":memory:"), options).pipe(Layer.provideMerge(CredentialVault.layerEphemeral))
  )

/** An account that works. */
export const connected = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.authConfigs.register(
    AuthConfig.make({
      id: "config",
      projectId: yield* CurrentProject,
      toolkit: "crm",
      scheme: "API_KEY",
      hosts: ["crm.example.com"]
    })
  )
  const { id } = yield* connections.create({
    authConfigId: "config",
    userId: "person",
    secrets: { api_key: Redacted.make("the key that nobody may see") }
  })
  return id
})

/** Commits an event of the account. */
export const happen = Effect.fnUntraced(function* (
  id: ConnectedAccountId,
  ...types: ReadonlyArray<ConnectionEventType>
) {
  const store = yield* AccountStore
  for (const type of types) {
    const from = Option.getOrThrow(yield* store.findIn(yield* CurrentProject, id))
    const status = type === "expired" ? ({ status: "EXPIRED", statusReason: "credential_rejected" } as const) : {}
    yield* store.write({ from, to: { ...from, ...status }, announce: [type], at: yield* Clock.currentTimeMillis })
  }
})

/** Subscribes an endpoint. */
export const subscribe = Effect.fnUntraced(function* (
  url: string,
  events: WebhookSettings["events"] = ["composio.connected_account.expired", "rekindle.connected_account.renewed"]
) {
  const subscriptions = yield* WebhookSubscriptions
  return yield* subscriptions.create({ url, events, version: "V3" })
})

/** Lets time pass until the effect has a result. Endpoints are real, so each step leaves room for what comes from the network. */
export const eventually = Effect.fnUntraced(function* <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  step: Duration.Input = "1 second"
) {
  const fiber = yield* Effect.forkChild(effect)
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.adjust(step)
    for (let turn = 0; turn < 5; turn++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
  return yield* Fiber.join(fiber)
})

/** Lets time pass until a condition holds. */
export const until = <E, R>(condition: Effect.Effect<boolean, E, R>, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* eventually(Effect.sleep(step), step)
  })
