/**
 * A real API call whose access token has gone bad under it: `withRefresh` refreshes the account once, however many calls have failed,
 * and runs them again.
 *
 * @module
 */
import { Resilience } from "@rekindle/core"
import { Connections } from "@rekindle/engine"
import { Effect } from "effect"
import assert from "node:assert/strict"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { connect } from "./support/connect.ts"
import { layer } from "./support/Service.ts"
import { step } from "./support/Step.ts"

export const example = Effect.gen(function* () {
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const id = yield* connect("ada")

  /** The API call: the provider's userinfo endpoint, with the token the account has now. */
  const callApi = Effect.gen(function* () {
    const status = yield* provider.userinfo(yield* connections.accessToken(id))
    return status === 200 ? status : yield* Effect.fail({ _tag: "ApiRefused" as const, status })
  })

  yield* step(
    "the provider forgets the access token, and the API answers 401",
    Effect.gen(function* () {
      yield* provider.forgetAccessTokens
      assert.deepEqual(yield* Effect.flip(callApi), { _tag: "ApiRefused", status: 401 })
    })
  )
  yield* step(
    "under withRefresh ten such calls succeed, on one refresh",
    Effect.gen(function* () {
      const before = provider.spent()
      const call = Resilience.withRefresh(id, callApi, {
        // Not any 401: one of our own service is about its API key, and no refresh mends that.
        isAuthFailure: (error) => error._tag === "ApiRefused" && error.status === 401
      })
      const ten = Array.from({ length: 10 }, () => call)
      assert.ok((yield* Effect.all(ten, { concurrency: "unbounded" })).every((status) => status === 200))
      assert.equal(provider.spent() - before, 1)
    })
  )
}).pipe(Effect.provide(layer()))
