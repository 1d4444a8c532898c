/**
 * The service: the published endpoints, the consent callback and the renewer, on one engine.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { CredentialVault, Engine, Renewer } from "@rekindle/engine"
import { ApiKeys, ConsentCallback, RekindleServer } from "@rekindle/platform"
import { Config, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { createServer } from "node:http"

/** The settings of the service. */
export interface Settings {
  /** A SQLite file. */
  readonly database: string
  /** The address to listen on. */
  readonly host: string
  readonly port: number
}

const apiKeys = Layer.unwrap(
  Effect.gen(function* () {
    const key = yield* Config.Redacted("REKINDLE_API_KEY")
    return ApiKeys.layerStatic([key])
  })
)

/** A request has 10 s for its headers and 15 s for all of it. Node itself waits 1 and 5 minutes. */
const server = () =>
  createServer({ headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 5_000 })

/** Listens, and serves until the layer is closed. */
export const layer = ({ database, host, port }: Settings) =>
  HttpRouter.serve(Layer.merge(RekindleServer.layer, ConsentCallback.routes)).pipe(
    Layer.provide([apiKeys, ConsentCallback.layerRedacted, Renewer.layer()]),
    Layer.provide(
      Engine.layerSqlite(database, {
        consent: { callbackUrl: `http://${host}:${port}${ConsentCallback.path}` }
      })
    ),
    Layer.provide(CredentialVault.layerConfig()),
    Layer.provideMerge(NodeHttpServer.layer(server, { host, port }))
  )
