/**
 * Each failure status arrives as its own tagged error. The engine produces all but two. Those come from a script behind the same routes.
 *
 * @module
 */
import {
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  Forbidden,
  RateLimited,
  type RefreshError
} from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, Redacted } from "effect"
import assert from "node:assert/strict"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { KeyedApi } from "../support/KeyedApi.ts"
import { apiKey, serve } from "../support/serve.ts"
import { Service } from "../support/Service.ts"
import { step } from "../support/Step.ts"

/** Claims that `refresh` fails with this status and tag, and that the account `unharmed` is still ACTIVE. */
const fails = <A, R>(
  status: number,
  tag: RefreshError["_tag"],
  when: string,
  refresh: Effect.Effect<A, RefreshError, R>,
  unharmed?: ConnectedAccountId
) =>
  step(
    `${status} ${tag}: ${when}`,
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.equal(error._tag, tag, error.message)
      assert.ok("status" in error)
      assert.equal(error.status, status)
      if (unharmed === undefined) return
      const account = yield* ConnectedAccounts.use((accounts) => accounts.get(unharmed))
      assert.equal(account.status, "ACTIVE")
    })
  )

/** A client of the server at `baseUrl`. */
const clientOf = (baseUrl: string, apiKey: Redacted.Redacted) =>
  RekindleClient.make({ baseUrl, apiKey }).pipe(Effect.provide(UndiciHttpClient.layer))

const readOnly = ConnectedAccountId.make("ca_readonly_key")
const crowded = ConnectedAccountId.make("ca_too_many_calls")

/** The two failures that the engine does not produce. */
const script = ScriptedAccounts.layer([
  ScriptedAccounts.account({ id: readOnly, answers: [new Forbidden({ message: "this key may only read" })] }),
  ScriptedAccounts.account({ id: crowded, answers: [new RateLimited({ message: "slow down" })] })
])

export const failures = Effect.gen(function* () {
  const { refresh } = yield* ConnectedAccounts
  const { url } = yield* Service
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const api = yield* KeyedApi
  const wrongSecret = { client_secret: Redacted.make("not-the-secret") }
  yield* connections.authConfigs.register(provider.authConfig({ id: "misconfigured", secrets: wrongSecret }))
  yield* connections.authConfigs.register(provider.authConfig({ id: "open", scheme: "NO_AUTH", settings: {} }))
  yield* connections.authConfigs.register(api.authConfig("down", "/down"))

  const userId = "ada"
  const refreshToken = { refresh_token: Redacted.make("any-token") }
  const off = yield* connections.create({ authConfigId: "misconfigured", userId, secrets: refreshToken })
  yield* connections.disable(off.id)
  const misconfigured = yield* connections.create({ authConfigId: "misconfigured", userId, secrets: refreshToken })
  const open = yield* connections.create({ authConfigId: "open", userId })
  const down = yield* connections.create({ authConfigId: "down", userId, secrets: { api_key: api.key } })
  const stranger = yield* clientOf(url, Redacted.make("not-a-key"))
  const scripted = yield* clientOf(yield* serve(script), apiKey)

  yield* fails(400, "InvalidRequest", "the account was switched off", refresh(off.id))
  yield* fails(401, "Unauthorized", "the API key is unknown to our server", stranger.refresh(open.id))
  yield* fails(403, "Forbidden", "the API key may not do this (a script behind the routes)", scripted.refresh(readOnly))
  yield* fails(404, "AccountNotFound", "there is no such account", refresh(ConnectedAccountId.make("ca_nobodynobody")))
  yield* fails(429, "RateLimited", "too many calls (a script behind the routes)", scripted.refresh(crowded))
  yield* fails(
    500,
    "RefreshFailed",
    "the provider refuses our client secret; the account stays ACTIVE",
    refresh(misconfigured.id),
    misconfigured.id
  )
  yield* fails(501, "RefreshUnsupported", "NO_AUTH has nothing to refresh", refresh(open.id))
  yield* fails(
    503,
    "Unavailable",
    "the API that validates the key is down; the account stays ACTIVE",
    refresh(down.id, { validateCredentials: true }),
    down.id
  )
}).pipe(Effect.scoped)
