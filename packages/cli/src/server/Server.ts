/**
 * The service: the published endpoints, the consent callback and the renewer, on one engine.
 *
 * It listens before the engine starts. So a port in use is reported before the database is touched, and while a database is migrated
 * `/healthz` answers and every other request is told to come again. When the layer closes, the server stops accepting, waits for the
 * requests in flight, and only then the engine ends.
 *
 * @module
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Engine, Journal, Renewer } from "@rekindle/engine"
import { ConsentCallback, RekindleServer } from "@rekindle/platform"
import { Config, Context, Effect, Layer, Option, type Redacted } from "effect"
import {
  HttpEffect,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  type HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { createServer, type RequestListener } from "node:http"
import * as AdminApi from "../administration/AdminApi.ts"
import * as Administration from "../administration/Administration.ts"
import * as ApiAudit from "../audit/apiAudit.ts"
import * as KeyCheck from "../keys/KeyCheck.ts"
import { Keys } from "../keys/Keys.ts"
import { Projects } from "../keys/Projects.ts"
import type { Values } from "../settings/Setting.ts"
import * as Settings from "../settings/settings.ts"
import * as Pages from "../pages/Pages.ts"
import { migrate } from "../store/migrations.ts"
import * as Database from "../store/Database.ts"
import * as KeyRing from "../store/KeyRing.ts"
import * as Toolkits from "../toolkits/Toolkits.ts"
import * as Webhooks from "../webhooks/Webhooks.ts"
import * as Health from "./health.ts"

/** The settings of the service. */
export type ServerSettings = Values<typeof Settings.serve>

/** What a started service says of itself. */
export class Service extends Context.Service<
  Service,
  {
    /** The address where it listens. */
    readonly address: string
    /** The address for browsers and providers. */
    readonly publicUrl: string
    readonly database: string
    readonly keyRing: KeyRing.KeyRing["Service"]
    /** The admin key, if this start made it. */
    readonly adminKey: Redacted.Redacted | undefined
  }
>()("@rekindle/cli/Service") {}

/** A request has 10 s for its headers and 15 s for all of it. Node itself waits 1 and 5 minutes. */
const limits = { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 5_000 }

/** Answers while the engine starts, which lasts as long as a migration of the database. */
const whileStarting: RequestListener = ({ url }, response) => {
  const [status, body] =
    url === "/healthz"
      ? [200, Health.alive]
      : url === "/readyz"
        ? [503, Health.starting]
        : [
            503,
            { error: { message: "The server starts; nothing was done", code: 50_300, slug: "starting", status: 503 } }
          ]
  response.writeHead(status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...(status === 503 && { "retry-after": "1" })
  })
  response.end(JSON.stringify(body))
}

/** The database, the journal, and who may call. */
const ground = ({ database, databaseConnections, journal = Database.defaultJournal(database) }: ServerSettings) =>
  Administration.services.pipe(
    Layer.provideMerge(Database.layer(database, { create: true, connections: databaseConnections })),
    Layer.provideMerge(journal === undefined ? Journal.layerMemory : Journal.layerDirectory(journal))
  )

/** The engine, and then the tables of the service. A database of a newer engine is refused before anything of it is changed. */
const engine = ({ privateHosts }: ServerSettings, publicUrl: string) =>
  Layer.effectDiscard(migrate).pipe(
    Layer.provideMerge(
      Layer.unwrap(
        Effect.map(Projects, ({ redirectOrigins }) =>
          Engine.layer({
            consent: { callbackUrl: `${publicUrl}${ConsentCallback.path}`, redirectOrigins },
            egress: Settings.privateHosts("privateHosts", privateHosts)
          })
        )
      )
    )
  )

/** What runs in the background, and what the routes need besides the engine. */
const surroundings = ({ renewals, renewer, webhookPrivateHosts }: ServerSettings, publicUrl: string) =>
  Layer.mergeAll(
    renewer ? Renewer.layer({ concurrency: renewals }) : Layer.empty,
    Webhooks.layer({ privateHosts: webhookPrivateHosts }),
    Pages.layer({ publicUrl }),
    Pages.layerRedacted,
    Toolkits.layer,
    NodeHttpServer.layerHttpServices
  )

const routes = ({ applicationName, docs, metrics }: ServerSettings, publicUrl: string) =>
  Layer.mergeAll(
    RekindleServer.serviceWith({ docs }),
    AdminApi.routes,
    ConsentCallback.routes,
    Pages.routes({ publicUrl, applicationName: () => Effect.succeed(applicationName) }),
    Health.routes,
    metrics ? PrometheusMetrics.layerHttp() : Layer.empty
  )

/**
 * From the beginning of a stop each answer ends its connection. Otherwise a caller that keeps its connection holds up the stop until it is
 * idle for some seconds, and one that goes on asking until the time limit.
 */
const hangingUp = (stop: { readonly isAsked: boolean }) =>
  HttpEffect.withPreResponseHandler((_, response) =>
    Effect.succeed(stop.isAsked ? HttpServerResponse.setHeader(response, "connection", "close") : response)
  )

/** Behind a proxy, the address of a caller is in a header. It is believed only if the connection comes from a trusted proxy. */
const logged =
  ({ trustedProxies }: ServerSettings) =>
  <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, HttpServerRequest.HttpServerRequest | R>) =>
    HttpMiddleware.xForwardedHeaders({ trustedProxies })(HttpMiddleware.logger(app))

const make = Effect.fnUntraced(function* (settings: ServerSettings) {
  const { host, port, shutdownTimeout } = settings
  const node = createServer(limits, whileStarting)
  const server = yield* NodeHttpServer.make(() => node, { host, port, gracefulShutdownTimeout: shutdownTimeout })
  const address = HttpServer.formatAddress(server.address)
  const publicUrl = settings.publicUrl ?? address

  const given = yield* Config.option(Config.Redacted("REKINDLE_API_KEY"))
  const keys = Layer.merge(KeyCheck.layer({}, Option.getOrUndefined(given)), ApiAudit.layer)

  const vault = yield* Layer.build(
    KeyRing.layer({ database: settings.database, keyFile: settings.keyFile, create: true })
  )
  const keyRing = Context.get(vault, KeyRing.KeyRing)
  const services = yield* Layer.merge(surroundings(settings, publicUrl), keys).pipe(
    Layer.provideMerge(engine(settings, publicUrl)),
    Layer.provideMerge(ground(settings)),
    Layer.provideMerge(Layer.succeedContext(vault)),
    Layer.build,
    Effect.catchTag("VaultError", (error) => Effect.andThen(KeyRing.discardIfNew(keyRing), Effect.fail(error)))
  )
  const first = Option.isSome(given) ? Option.none() : yield* Context.get(services, Keys).createFirst
  const handler = yield* Effect.provideContext(HttpRouter.toHttpEffect(routes(settings, publicUrl)), services)
  const stop = { isAsked: false }
  yield* Effect.provideContext(
    server.serve(handler, (app) => hangingUp(stop)(logged(settings)(app))),
    services
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => void (stop.isAsked = true)))
  node.off("request", whileStarting)
  return Service.of({
    address,
    publicUrl,
    database: Database.describe(settings.database),
    keyRing,
    adminKey: Option.getOrUndefined(Option.map(first, ({ secret }) => secret))
  })
})

/** Listens, and serves until the layer is closed. */
export const layer = (settings: ServerSettings) => Layer.effect(Service, make(settings))
