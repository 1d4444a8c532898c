/**
 * Serves any provider of `ConnectedAccounts` over HTTP, on a free loopback port.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { ConnectedAccounts } from "@rekindle/core"
import { ApiKeys, RekindleServer } from "@rekindle/platform"
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"

/**
 * An HTTP server that waits 10 s for the headers of a request and 15 s for the whole request. Node's defaults are 1 and 5 minutes, checked only
 * every 30 s, so that requests that never end could fill it. These limits do not apply to answers.
 */
const boundedServer = () =>
  createServer({ headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 5_000 })

/** A free loopback port. */
export const freePort = NodeHttpServer.layer(boundedServer, {
  host: "127.0.0.1",
  port: 0,
  gracefulShutdownTimeout: "100 millis"
})

/** The only API key. */
export const apiKey = Redacted.make("rk_example")

/** Serves until the scope closes, and returns the address. */
export const serve = <E>(accounts: Layer.Layer<ConnectedAccounts, E>) =>
  HttpRouter.serve(RekindleServer.routes, { disableListenLog: true }).pipe(
    Layer.provide([accounts, ApiKeys.layerStatic([apiKey])]),
    Layer.provideMerge(freePort),
    // Layers are shared by default, but each call needs a server of its own.
    Layer.fresh,
    Layer.build,
    Effect.flatMap((context) => Effect.provideContext(HttpServer.HttpServer, context)),
    Effect.map(({ address }) => HttpServer.formatAddress(address))
  )
