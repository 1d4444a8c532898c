/**
 * The engine and the server routes make a self-hosted service: the refresh endpoint, its OpenAPI document and docs page, and the callback
 * address. In production the port, the keys and the public address come from configuration, the database is a file, and `main` is
 * `Layer.launch(Server)`.
 *
 * @module
 */
import { CredentialVault, Engine } from "@rekindle/engine"
import { ApiKeys, RekindleServer, ConsentCallback } from "@rekindle/platform"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import assert from "node:assert/strict"
import { freePort } from "./support/serve.ts"
import { step } from "./support/Step.ts"

const Accounts = Engine.layerSqlite(":memory:", {
  consent: { callbackUrl: `https://rekindle.example.com${ConsentCallback.path}` }
}).pipe(Layer.provide(CredentialVault.layerEphemeral))

const Routes = Layer.mergeAll(RekindleServer.layer, ConsentCallback.routes)

const Server = HttpRouter.serve(Routes).pipe(
  Layer.provide([Accounts, ApiKeys.layerStatic([Redacted.make("my-api-key")]), ConsentCallback.layerRedacted]),
  Layer.provideMerge(freePort)
)

/** Calls the server as any HTTP client can. */
const ask = (path: string, init?: RequestInit) =>
  HttpServer.addressFormattedWith((url) =>
    Effect.promise(async () => {
      const response = await fetch(url + path, init)
      return { status: response.status, body: await response.text() }
    })
  )

export const example = Effect.gen(function* () {
  yield* step(
    "the endpoint answers: there is no such account",
    Effect.gen(function* () {
      const headers = { "x-api-key": "my-api-key" }
      const { body, status } = yield* ask("/api/v3/connected_accounts/ca_4CkFF_cKATwg/refresh", {
        method: "POST",
        headers
      })
      assert.equal(status, 404)
      assert.equal(JSON.parse(body).error.slug, "connected_account_not_found")
      return body
    }),
    (body) => body
  )
  yield* step(
    "the contract is served beside it, at /openapi.json and /docs",
    Effect.gen(function* () {
      const { paths } = JSON.parse((yield* ask("/openapi.json")).body)
      assert.ok("/api/v3/connected_accounts/{nanoid}/refresh" in paths)
      assert.equal((yield* ask("/docs")).status, 200)
    })
  )
}).pipe(Effect.provide(Server))
