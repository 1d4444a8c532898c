/**
 * The service as official clients meet it: the routes of the whole contract on a real engine, and a real authorization server.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { Connections } from "@rekindle/core"
import { type AccountStore, CredentialVault, Engine, Journal, SqliteClient } from "@rekindle/engine"
import { ApiKeys, ConnectLinks, ConsentCallback, RekindleServer } from "@rekindle/platform"
import { Context, Effect, Layer, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { AuthorizationServer, callbackUrl } from "../../../engine/test/support/AuthorizationServer.ts"
import { migrate } from "#cli/store/migrations.ts"
import * as Toolkits from "#cli/toolkits/Toolkits.ts"
import * as Webhooks from "#cli/webhooks/Webhooks.ts"

export const apiKey = "rk_test_0123456789"

/** A key that may only read. */
export const readerKey = "rk_reader_0123456789"

/** A running service. */
export class Service extends Context.Service<
  Service,
  {
    readonly url: string
    /** How many requests arrived. */
    readonly requests: () => number
    /** Agrees at the page of the provider, and lets the browser follow the redirect to the service. */
    readonly consent: (link: string) => Effect.Effect<void>
  }
>()("@rekindle/cli/test/Service") {}

const keys = Layer.effect(
  ApiKeys,
  Effect.gen(function* () {
    const full = yield* ApiKeys.pipe(Effect.provide(ApiKeys.layerStatic([Redacted.make(apiKey)])))
    const reader = yield* ApiKeys.pipe(
      Effect.provide(ApiKeys.layerStatic([Redacted.make(readerKey)], { projectId: "default", scopes: ["read"] }))
    )
    return ApiKeys.of({
      check: (key, caller) => Effect.catchTag(full.check(key, caller), "Unauthorized", () => reader.check(key, caller))
    })
  })
)

const engine = Webhooks.layer({ privateHosts: ["*"], pollInterval: "50 millis" }).pipe(
  Layer.provide(Layer.effectDiscard(migrate)),
  Layer.provideMerge(Engine.layer({ consent: { callbackUrl }, egress: { privateHosts: ["*"] } })),
  Layer.provide(SqliteClient.layer(":memory:")),
  Layer.provide([CredentialVault.layerEphemeral, Journal.layerMemory]),
  Layer.provide(SecureRandom.layerWebCrypto)
)

const running = Layer.effect(
  Service,
  Effect.gen(function* () {
    const provider = yield* AuthorizationServer
    let requests = 0
    const context = yield* Layer.build(
      HttpRouter.serve(Layer.merge(RekindleServer.serviceWith({ docs: false }), ConsentCallback.routes), {
        disableLogger: true,
        disableListenLog: true,
        middleware: (app) =>
          Effect.suspend(() => {
            requests++
            return app
          })
      }).pipe(
        Layer.provide([keys, ConsentCallback.layerRedacted, ConnectLinks.layerDirect, Toolkits.layer]),
        Layer.provideMerge(
          NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
        )
      )
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    const url = HttpServer.formatAddress(address)
    return Service.of({
      url,
      requests: () => requests,
      consent: (link) =>
        Effect.flatMap(provider.consent(link), ({ search }) =>
          Effect.promise(async () => {
            const response = await fetch(`${url}${ConsentCallback.path}${search}`, { redirect: "manual" })
            if (response.status >= 400) throw new Error(`the callback answered ${response.status}`)
          })
        )
    })
  })
)

/** The service, its engine, and the authorization server. */
export const layer: Layer.Layer<Service | AuthorizationServer | Connections | AccountStore> = running.pipe(
  Layer.provideMerge(engine),
  Layer.provideMerge(AuthorizationServer.layer()),
  Layer.orDie
)
