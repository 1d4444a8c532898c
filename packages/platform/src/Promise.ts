/**
 * The client, and a web handler, for applications that are not written in Effect.
 *
 * ```ts
 * import { client } from "@rekindle/platform/Promise"
 * import assert from "node:assert/strict"
 *
 * await using rekindle = client({
 *   baseUrl: "https://rekindle.example.com",
 *   apiKey: "secret",
 *   fetch: async () => Response.json({ id: "con_1a2b3c4d5e6f", status: "ACTIVE", redirect_url: null }) // instead of a server
 * })
 *
 * // A failure rejects with an Error that has `_tag` and `disposition`.
 * const outcome = await rekindle.refresh("con_1a2b3c4d5e6f")
 * assert.equal(outcome._tag, "Ready")
 * ```
 *
 * @module
 */
import { type ConnectedAccounts, Connections, type ConsentCallback, Resilience } from "@rekindle/core"
import { type Application, type Client, makeClient, secret } from "@rekindle/core/Promise"
import { Context, Effect, Layer } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer, type HttpServerRequest } from "effect/http"
import { ApiKeys } from "./ApiKeys.ts"
import * as Callback from "./ConsentCallback.ts"
import * as RekindleClient from "./RekindleClient.ts"
import * as RekindleServer from "./RekindleServer.ts"

export {
  type Accounts,
  type AllAccounts,
  type CallContext,
  type Client,
  Disposed,
  reveal,
  secret,
  type WithRefreshOptions
} from "@rekindle/core/Promise"

/** The options of a client. */
export interface ClientOptions extends Omit<RekindleClient.Options, "apiKey"> {
  /** The key to send as `x-api-key`. */
  readonly apiKey: string
  /** The policies around the client. Default: the standard pipeline, which has a deadline, retries what is safe to repeat, and more. */
  readonly policy?: Resilience.Policy | undefined
  /** The `fetch` that sends the requests. Default: the global one. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/**
 * Makes a client of a server. Throws if the address or the key is malformed.
 *
 * `refresh` and `get` are calls of the published contract. The others need a server with Rekindle's own endpoints, and a key with the scope for
 * them. The policies are around `refresh` and `get` alone.
 */
export const client = ({
  apiKey,
  fetch = globalThis.fetch,
  policy = Resilience.standard(),
  ...rest
}: ClientOptions): Client => {
  const options = { ...rest, apiKey: secret(apiKey) }
  return makeClient(
    Layer.merge(
      Resilience.layer(policy).pipe(Layer.provide(RekindleClient.layer(options))),
      Layer.effect(Connections, Effect.map(RekindleClient.makeConnections(options), Context.get(Connections)))
    ).pipe(Layer.provideMerge(FetchHttpClient.layer), Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch)))
  )
}

/** The path of the consent callback: with the origin of the application, it is the `callbackUrl` of the engine. */
export const callbackPath: string = Callback.path

/** What a handler serves. */
export interface HandlerOptions {
  /** The API keys of the refresh endpoint. Default: none, and then the handler serves the consent callback only. */
  readonly apiKeys?: ReadonlyArray<string> | undefined
  /** Reads the `session` that a link was bound to from the request of the browser that comes back, such as a cookie. */
  readonly session?:
    | ((request: Pick<HttpServerRequest.HttpServerRequest, "cookies" | "headers">) => string | undefined)
    | undefined
}

/** Answers a request, wherever there are requests of the Fetch standard: Next.js, Hono, workers, Bun, Deno. */
export interface Handler extends AsyncDisposable {
  (request: Request): Promise<Response>
  readonly dispose: () => Promise<void>
}

/** Makes a handler of the consent callback and, with `apiKeys`, of the refresh endpoint. */
export const handler = (
  { layer }: Pick<Application<ConnectedAccounts | ConsentCallback>, "layer">,
  { apiKeys, session }: HandlerOptions = {}
): Handler => {
  const callback =
    session === undefined
      ? Callback.routes
      : Layer.provide(Callback.routes, Layer.succeed(Callback.ConsentSession, session))
  const routes =
    apiKeys === undefined
      ? callback
      : Layer.merge(
          callback,
          Layer.provide(RekindleServer.routes, ApiKeys.layerStatic(apiKeys.map((key) => secret(key))))
        )
  const { dispose, handler } = HttpRouter.toWebHandler(
    routes.pipe(Layer.provide([layer, HttpServer.layerServices]), Layer.provideMerge(Callback.layerRedacted)),
    { disableLogger: true }
  )
  return Object.assign((request: Request) => handler(request), { dispose, [Symbol.asyncDispose]: dispose })
}
