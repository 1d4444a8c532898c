/**
 * The contract as server routes. They expose any provider of `ConnectedAccounts` over HTTP: an engine, a script, a client of another server.
 *
 * ```ts
 * import { ConnectedAccounts, Ready } from "@rekindle/core"
 * import { ApiKeys, RekindleServer } from "@rekindle/platform"
 * import { Effect, Layer, Redacted } from "effect"
 * import { HttpRouter, HttpServer } from "effect/http"
 * import assert from "node:assert/strict"
 *
 * const Accounts = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.succeed(Ready.make({ id })),
 *   get: () => Effect.die("not in this example")
 * })
 *
 * const routes = RekindleServer.routes.pipe(
 *   Layer.provide([Accounts, ApiKeys.layerStatic([Redacted.make("secret")]), HttpServer.layerServices])
 * )
 *
 * // On Node: HttpRouter.serve(routes).pipe(Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })))
 * const server = HttpRouter.toWebHandler(routes, { disableLogger: true })
 * const response = await server.handler(
 *   new Request("http://localhost/api/v3/connected_accounts/con_1a2b3c4d5e6f/refresh", {
 *     method: "POST",
 *     headers: { "x-api-key": "secret" }
 *   })
 * )
 * assert.deepEqual(await response.json(), { id: "con_1a2b3c4d5e6f", status: "ACTIVE", redirect_url: null })
 * await server.dispose()
 * ```
 *
 * @module
 */
import { CurrentProject, Expected, InvalidRequest, Unauthorized } from "@rekindle/core"
import { Cause, Context, type Duration, Effect, Layer, Option, Redacted, Scope, type Types } from "effect"
import { SecureRandom } from "effect/crypto"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiError, type HttpApiGroup, HttpApiScalar, OpenApi } from "effect/http-api"
import { authConfigsHandlers } from "./api/authConfigsHandlers.ts"
import { connectedAccountsHandlers } from "./api/connectedAccountsHandlers.ts"
import * as NotServed from "./api/notServed.ts"
import { ownHandlers } from "./api/own.ts"
import { toolkitsHandlers } from "./api/toolkitsHandlers.ts"
import { webhookSubscriptionsHandlers } from "./api/webhookSubscriptionsHandlers.ts"
import { ApiAudit, IsAudited } from "./ApiAudit.ts"
import { ApiKeys, ApiPrincipal, RequiredScope } from "./ApiKeys.ts"
import { document } from "./internal/document.ts"
import * as Failures from "./internal/failures.ts"
import { handlers } from "./internal/handlers.ts"
import { allowOnly } from "./internal/methods.ts"
import { withBody } from "./internal/requestBody.ts"
import { Api, ApiKeyAuth, RequestValidation, ServiceApi } from "./RekindleApi.ts"

/** Settings of the server routes. */
export interface Options {
  /** Whether `/docs` and `/openapi.json` are served. Both can be read without a key. Default true. */
  readonly docs?: boolean | undefined
  /** How long the body of a request may take to arrive before the answer is 408. Default 10 seconds. */
  readonly bodyTimeout?: Duration.Input | undefined
}

const openapiPath = "/openapi.json"
const docsPath = "/docs"

const apiKeyAuth = Layer.effect(
  ApiKeyAuth,
  Effect.gen(function* () {
    const keys = yield* ApiKeys
    const audit = yield* ApiAudit
    return ApiKeyAuth.of({
      apiKey: Effect.fnUntraced(function* (handler, { credential, endpoint }) {
        if (Redacted.value(credential) === "") {
          return yield* new Unauthorized({ message: "The x-api-key header is missing", slug: "missing_api_key" })
        }
        const { method, remoteAddress, url } = yield* HttpServerRequest.HttpServerRequest
        const address = Option.getOrUndefined(remoteAddress)
        const principal = yield* keys.check(credential, { address })
        const scope = Context.get(endpoint.annotations, RequiredScope)
        yield* ApiKeys.permit(principal, scope)
        const path = url.replace(/[?#].*/s, "")
        const onFailure = Context.get(endpoint.annotations, IsAudited)
          ? yield* audit({ principal, scope, method, route: endpoint.path, path, address })
          : Effect.void
        return yield* handler.pipe(
          Effect.provideService(ApiPrincipal, principal),
          Effect.provideService(CurrentProject, principal.projectId),
          // What becomes of a request that was interrupted is unknown.
          Effect.onError((cause) => (Cause.hasInterruptsOnly(cause) ? Effect.void : onFailure))
        )
      })
    })
  })
)

const slugs = {
  Params: "invalid_id",
  Query: "invalid_query",
  Headers: "invalid_headers",
  Payload: "invalid_body"
} as const

/** Names the wrong fields and what was expected. It never repeats the value. */
const toInvalidRequest = (slug: string, error: HttpApiError.HttpApiSchemaError) =>
  new InvalidRequest({
    message: "The request is malformed",
    slug,
    errors: Expected.mistakes(error.cause.issue).map(({ field, message }) =>
      // The contract has several forms of a body, and the schema's message would list them all.
      error.kind === "Payload" && field === "" ? "the body must be a JSON object" : Expected.line({ field, message })
    )
  })

const requestValidation = (bodyTimeout: Duration.Input) =>
  Layer.succeed(RequestValidation, (handler) =>
    withBody(handler, bodyTimeout).pipe(
      Effect.catch((error): Effect.Effect<never, InvalidRequest | Types.unhandled> => {
        if (!HttpApiError.HttpApiSchemaError.is(error)) return Effect.fail(error)
        return error.kind === "Body" || error.kind === "ResponseHeaders"
          ? Effect.die(error.cause)
          : Effect.fail(toInvalidRequest(slugs[error.kind], error))
      })
    )
  )

/**
 * The endpoints of a contract of your own, beside {@link service}: behind the same API keys, with the same check of requests and the same envelope.
 * Their groups use the middleware of `RekindleApi`, and their paths begin with `/api/v3`.
 */
export const endpoints = <Id extends string, Groups extends HttpApiGroup.Constraint, R>(
  api: HttpApi.HttpApi<Id, Groups>,
  groups: Layer.Layer<HttpApiGroup.ToService<Id, Groups>, never, R>,
  { bodyTimeout = "10 seconds" }: Options = {}
) => {
  const methodsByPath = new Map<string, ReadonlyArray<string>>()
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint: { method, path } }) => {
      methodsByPath.set(path, [...(methodsByPath.get(path) ?? []), ...(method === "GET" ? ["GET", "HEAD"] : [method])])
    }
  })
  return Layer.mergeAll(
    HttpApiBuilder.layer(api).pipe(Layer.provide(Layer.provide(groups, [apiKeyAuth, requestValidation(bodyTimeout)]))),
    ...Array.from(methodsByPath, ([path, methods]) => allowOnly(path, methods))
  )
}

const failures = Failures.layer([openapiPath, docsPath])

/** The routes of a contract, its document, and the page to read it. */
const serving = <Id extends string, Groups extends HttpApiGroup.Constraint, R>(
  api: HttpApi.HttpApi<Id, Groups>,
  groups: Layer.Layer<HttpApiGroup.ToService<Id, Groups>, never, R>
) => {
  const openapi = Layer.merge(
    HttpRouter.use((router) =>
      router.add(
        "GET",
        openapiPath,
        Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(api)))
      )
    ).pipe(Layer.provide(document)),
    allowOnly(openapiPath, ["GET", "HEAD"])
  )

  /** The page and its script of 3 MB, which are loaded when somebody asks for them. */
  const page = HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const scope = yield* Effect.scope
      const rendered = yield* Effect.cached(
        Scope.provide(HttpRouter.toHttpEffect(HttpApiScalar.layer(api, { path: docsPath })), scope)
      )
      const read = Effect.flatten(rendered).pipe(
        // An application may have mounted the routes elsewhere.
        Effect.updateService(HttpServerRequest.HttpServerRequest, (request) => request.modify({ url: docsPath })),
        Effect.orDie
      )
      yield* router.add("GET", docsPath, read)
    })
  )

  const docs = Layer.merge(page.pipe(Layer.provide(document)), allowOnly(docsPath, ["GET", "HEAD"]))

  const layerWith = (options: Options) => {
    const pages: typeof docs = options.docs === false ? Layer.empty : Layer.merge(openapi, docs)
    return Layer.mergeAll(endpoints(api, groups, options), failures, pages)
  }

  return { docs, layerWith, routes: Layer.mergeAll(endpoints(api, groups), failures, openapi) }
}

const gateway = serving(
  Api,
  Layer.mergeAll(
    HttpApiBuilder.group(Api, "v3", (group) => Effect.map(handlers, (of) => group.handleAll(of("v3")))),
    HttpApiBuilder.group(Api, "v3.1", (group) => Effect.map(handlers, (of) => group.handleAll(of("v3.1"))))
  )
)

/** A page at `/docs` to read the contract and try it. It loads nothing from a CDN: 3 MB, or 1 MB compressed. */
export const docs = gateway.docs

/**
 * `refresh` and `get` under both prefixes, and the OpenAPI document at `/openapi.json`. Every failure is answered with the envelope and a
 * request id, also those of the router.
 */
export const routes = gateway.routes

/** {@link routes} and {@link docs}. Serve it with `HttpRouter.serve`. */
export const layer = Layer.merge(routes, docs)

/** Like {@link layer}, with options. */
export const layerWith = gateway.layerWith

const ofService = serving(
  ServiceApi,
  Layer.mergeAll(
    HttpApiBuilder.group(ServiceApi, "v3", (group) => Effect.map(handlers, (of) => group.handleAll(of("v3")))),
    HttpApiBuilder.group(ServiceApi, "v3.1", (group) => Effect.map(handlers, (of) => group.handleAll(of("v3.1")))),
    HttpApiBuilder.group(ServiceApi, "connected_accounts/v3", (group) =>
      Effect.map(connectedAccountsHandlers, (of) => group.handleAll(of("v3")))
    ),
    HttpApiBuilder.group(ServiceApi, "connected_accounts/v3.1", (group) =>
      Effect.map(connectedAccountsHandlers, (of) => group.handleAll(of("v3.1")))
    ),
    HttpApiBuilder.group(ServiceApi, "auth_configs/v3", (group) =>
      Effect.map(authConfigsHandlers, (handlers) => group.handleAll(handlers))
    ),
    HttpApiBuilder.group(ServiceApi, "auth_configs/v3.1", (group) =>
      Effect.map(authConfigsHandlers, (handlers) => group.handleAll(handlers))
    ),
    HttpApiBuilder.group(ServiceApi, "own/v3", (group) => Effect.map(ownHandlers, (of) => group.handleAll(of("v3")))),
    HttpApiBuilder.group(ServiceApi, "own/v3.1", (group) =>
      Effect.map(ownHandlers, (of) => group.handleAll(of("v3.1")))
    ),
    HttpApiBuilder.group(ServiceApi, "toolkits/v3", (group) =>
      Effect.map(toolkitsHandlers, (of) => group.handleAll(of("v3")))
    ),
    HttpApiBuilder.group(ServiceApi, "toolkits/v3.1", (group) =>
      Effect.map(toolkitsHandlers, (of) => group.handleAll(of("v3.1")))
    ),
    HttpApiBuilder.group(ServiceApi, "webhook_subscriptions/v3", (group) =>
      Effect.map(webhookSubscriptionsHandlers, (handlers) => group.handleAll(handlers))
    ),
    HttpApiBuilder.group(ServiceApi, "webhook_subscriptions/v3.1", (group) =>
      Effect.map(webhookSubscriptionsHandlers, (handlers) => group.handleAll(handlers))
    )
  ).pipe(Layer.provide(SecureRandom.layerWebCrypto))
)

/** Like {@link service}, with options. */
export const serviceWith = (options: Options) => Layer.merge(ofService.layerWith(options), NotServed.layer)

/**
 * The whole contract, for a service of its own: {@link layer}, the endpoints that manage accounts, auth configs and toolkits, Rekindle's own, and a 501 for what
 * is published and not served.
 */
export const service = serviceWith({})
