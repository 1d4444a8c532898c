/**
 * A whole self-hosted service with its surroundings, on free loopback ports: the engine on SQLite in a temporary file, the server routes, their
 * client, an authorization server and an API with keys.
 *
 * The layer provides the client's `ConnectedAccounts`, so a program's calls go over HTTP, as from another machine.
 *
 * @module
 */
import { Resilience } from "@rekindle/core"
import { CredentialVault, Engine, type VaultKey } from "@rekindle/engine"
import { ApiKeys, RekindleClient, RekindleServer, ConsentCallback } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer } from "./AuthorizationServer.ts"
import { KeyedApi } from "./KeyedApi.ts"
import { freePort } from "./serve.ts"

/** The service's address and keys, and how many refreshes have reached its engine. */
export class Service extends Context.Service<
  Service,
  {
    readonly url: string
    readonly apiKey: Redacted.Redacted
    readonly vaultKey: VaultKey
    readonly arrived: () => number
  }
>()("examples/Service") {}

/** The engine and its database. The directory is removed with the scope. */
const engine = (options: Engine.EngineOptions, vaultKey: VaultKey) =>
  Layer.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-"))),
        (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
      ),
      (directory) => Engine.layerSqlite(join(directory, "accounts.db"), options)
    )
  ).pipe(Layer.provide(CredentialVault.layer([vaultKey])))

/** The whole service. `options` are the engine's, without the callback address, which depends on the port. */
export const layer = (options?: Omit<Engine.EngineOptions, "consent">) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = HttpServer.formatAddress((yield* HttpServer.HttpServer).address)
      const callbackUrl = url + ConsentCallback.path
      const apiKey = Redacted.make(`rk_${randomBytes(24).toString("base64url")}`)
      const vaultKey = { id: "k1", key: Redacted.make(randomBytes(32).toString("base64")) }

      // The provider waits for this count before it answers a crowd of callers.
      let arrived = 0
      const counted = Resilience.policy("count", {}, (engine) =>
        Effect.succeed({
          ...engine,
          refresh: (...call) =>
            Effect.suspend(() => {
              arrived++
              return engine.refresh(...call)
            })
        })
      )
      const routes = Layer.merge(RekindleServer.routes, ConsentCallback.routes)
      const server = HttpRouter.serve(routes, { disableListenLog: true }).pipe(
        Layer.provide([Resilience.layer(counted), ApiKeys.layerStatic([apiKey]), ConsentCallback.layerRedacted])
      )
      const client = RekindleClient.layer({ baseUrl: url, apiKey }).pipe(Layer.provide(UndiciHttpClient.layer))

      // The server uses the engine's `ConnectedAccounts`, and the layer provides the client's.
      return Layer.merge(client, server).pipe(
        Layer.provideMerge(engine({ consent: { callbackUrl }, egress: { privateHosts: ["*"] }, ...options }, vaultKey)),
        Layer.merge([
          AuthorizationServer.layer(callbackUrl),
          KeyedApi.layer,
          Layer.succeed(Service, { url, apiKey, vaultKey, arrived: () => arrived })
        ])
      )
    })
  ).pipe(Layer.provide(freePort))
