/**
 * Calls an API without ever holding a token: the HTTP client puts the account's credential on each request, renews it once when the API refuses
 * it, and sends it to no other host. The API is a real provider's userinfo endpoint.
 *
 * @module
 */
import { Connections } from "@rekindle/core"
import { Effect } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import assert from "node:assert/strict"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { consent } from "./support/Person.ts"
import { layer } from "./support/Service.ts"
import { step } from "./support/Step.ts"

export const example = Effect.gen(function* () {
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const config = provider.authConfig()
  yield* connections.authConfigs.register({ ...config, apiHosts: [provider.origin] })
  const { id } = yield* connections.create({ authConfigId: config.id, userId: "ada" })
  const api = Connections.authorize(yield* HttpClient.HttpClient, id)
  const whoAmI = Effect.flatMap(api.get(`${provider.origin}/me`), ({ json }) => json)

  yield* step(
    "the account was never connected: the request fails with the link, and after consent it succeeds",
    Effect.gen(function* () {
      const error = yield* Effect.flip(whoAmI)
      assert.ok(error._tag === "ConsentRequired", `${error._tag} instead of a link`)
      yield* consent(error.redirectUrl, "ada")
      assert.deepEqual(yield* whoAmI, { sub: "ada" })
    })
  )
  yield* step(
    "the provider invalidates the access token: ten requests succeed, on one refresh",
    Effect.gen(function* () {
      yield* provider.forgetAccessTokens
      const before = provider.spent()
      const ten = yield* Effect.replicateEffect(whoAmI, 10, { concurrency: "unbounded" })
      assert.ok(ten.every((person) => JSON.stringify(person) === '{"sub":"ada"}'))
      assert.equal(provider.spent() - before, 1)
    })
  )
  yield* step(
    "a request to another host is refused, and nothing is sent",
    Effect.gen(function* () {
      const error = yield* Effect.flip(api.get("https://elsewhere.example.com/"))
      assert.ok("slug" in error && error.slug === "host_not_declared")
    })
  )
}).pipe(Effect.provide([layer(), FetchHttpClient.layer]))
