/**
 * The main task of an application: it reads the access token and calls the API within `withRefresh`. A token that the API refuses is renewed. If
 * a person has to consent, the call fails with the link, every time.
 *
 * @module
 */
import { type ConnectedAccountId, Connections, Resilience } from "@rekindle/core"
import { Effect, Schema } from "effect"
import assert from "node:assert/strict"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { consent } from "./support/Person.ts"
import { layer } from "./support/Service.ts"
import { step } from "./support/Step.ts"

class ApiRefused extends Schema.TaggedError<ApiRefused>("examples/ApiRefused")("ApiRefused", { status: Schema.Int }) {}

/** The API call: the provider's userinfo endpoint, with the account's present token. */
const callApi = Effect.fnUntraced(function* (id: ConnectedAccountId) {
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const status = yield* provider.userinfo(yield* connections.accessToken(id))
  return status === 200 ? status : yield* new ApiRefused({ status })
})

/** The same call, as a program makes it. */
const call = (id: ConnectedAccountId) =>
  Resilience.withRefresh(id, callApi(id), {
    // A 401 of our own service would concern its API key, which a refresh does not change.
    isAuthFailure: (error) => error._tag === "ApiRefused" && error.status === 401
  })

/** The link that the call fails with. */
const linkOf = (id: ConnectedAccountId) =>
  Effect.map(Effect.flip(call(id)), (error) => {
    assert.ok(error._tag === "ConsentRequired", `${error._tag} instead of a link`)
    return error.redirectUrl
  })

export const example = Effect.gen(function* () {
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  yield* connections.authConfigs.register(provider.authConfig())
  const { id } = yield* connections.create({ authConfigId: "calendar", userId: "ada" })

  yield* step(
    "the account was never connected: the call fails with the link, and after consent it succeeds",
    Effect.gen(function* () {
      yield* consent(yield* linkOf(id), "ada")
      assert.equal(yield* call(id), 200)
    })
  )
  yield* step(
    "the provider invalidates the access token: ten calls succeed, on one refresh",
    Effect.gen(function* () {
      yield* provider.forgetAccessTokens
      assert.equal((yield* Effect.flip(callApi(id)))._tag, "ApiRefused")
      const before = provider.spent()
      const ten = Array.from({ length: 10 }, () => call(id))
      assert.ok((yield* Effect.all(ten, { concurrency: "unbounded" })).every((status) => status === 200))
      assert.equal(provider.spent() - before, 1)
    })
  )
  yield* step(
    "ada withdraws her consent: the call fails with a link, the first and the second time",
    Effect.gen(function* () {
      yield* provider.revoke("ada")
      yield* provider.forgetAccessTokens
      yield* linkOf(id)
      yield* linkOf(id)
    })
  )
  yield* step(
    "she consents again, and the call succeeds with the same account",
    Effect.gen(function* () {
      yield* consent(yield* linkOf(id), "ada")
      assert.equal(yield* call(id), 200)
    })
  )
}).pipe(Effect.provide(layer()))
