/**
 * Provides `ConnectedAccounts` over HTTP, on any `HttpClient`, and `Connections` from a server with Rekindle's own endpoints.
 *
 * It sends each request once. Retrying is the task of core's policies. They rely on the `disposition` of each error, which says whether the
 * request may have taken effect.
 *
 * It does not use the generated `HttpApiClient`, which costs about three times as much per call. A test shows that both behave alike.
 *
 * ```ts
 * import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
 * import { RekindleClient } from "@rekindle/platform"
 * import { Effect, Layer, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import assert from "node:assert/strict"
 *
 * const Accounts = RekindleClient.layer({ baseUrl: "http://127.0.0.1:1", apiKey: Redacted.make("secret") }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * const program = Effect.gen(function*() {
 *   const accounts = yield* ConnectedAccounts
 *   return yield* accounts.refresh(ConnectedAccountId.make("con_1a2b3c4d5e6f"))
 * })
 *
 * const error = await Effect.runPromise(program.pipe(Effect.provide(Accounts), Effect.flip))
 * assert.equal(error._tag, "TransportError") // nobody listens there
 * ```
 *
 * @module
 */
import {
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  DeadlineExceeded,
  type RefreshOptions,
  TransportError
} from "@rekindle/core"
import * as Resilience from "@rekindle/core/Resilience"
import { Clock, Config, Context, Duration, Effect, Layer, type Redacted, Schema } from "effect"
import { Headers, HttpBody, type HttpClient, type HttpClientRequest } from "effect/http"
import { accountIn, outcomeIn, refused, unread } from "./internal/answer.ts"
import * as Connection from "./internal/connection.ts"
import * as ConnectionsClient from "./internal/connectionsClient.ts"
import { malformedId } from "./internal/malformedId.ts"
import { idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "./internal/requestHeaders.ts"
import type { ApiVersion } from "./RekindleApi.ts"

/** The server's address and the API key. */
export interface Options {
  /** The absolute http(s) URL before `/api/v3`. It may have a path. It must not contain credentials. */
  readonly baseUrl: string | URL
  /** The key to send as `x-api-key`: visible ASCII. White space around it is removed. */
  readonly apiKey: Redacted.Redacted
  /**
   * Whether the key may be sent unencrypted. Otherwise `http` is refused, unless the host is this machine: `localhost` or a loopback address.
   * Default false.
   */
  readonly allowInsecureHttp?: boolean | undefined
  /** Which of the two prefixes to call, `v3` or `v3.1`. They have the same contract. Default `v3`. */
  readonly apiVersion?: ApiVersion | undefined
}

/** Makes the client of `ConnectedAccounts`. Fails with `ConfigError` if the URL or the key is malformed. */
export const make = (
  options: Options
): Effect.Effect<ConnectedAccounts["Service"], Config.ConfigError, HttpClient.HttpClient> =>
  Effect.map(Connection.make(options), accountsOf)

/** Like {@link Options}. `Connections` goes over v3.1 alone, since accounts of v3 have no alias. */
export type ConnectionsOptions = Omit<Options, "apiVersion">

/** Makes the clients of both services. Fails with `ConfigError` if the URL or the key is malformed. */
export const makeConnections = (
  options: ConnectionsOptions
): Effect.Effect<Context.Context<ConnectedAccounts | Connections>, Config.ConfigError, HttpClient.HttpClient> =>
  Effect.flatMap(Connection.make({ ...options, apiVersion: "v3.1" }), (connection) =>
    Effect.map(ConnectionsClient.make(connection), (connections) =>
      Context.make(ConnectedAccounts, accountsOf(connection)).pipe(Context.add(Connections, connections))
    )
  )

const accountsOf = ({
  headers,
  jsonHeaders,
  request,
  scrubbed,
  traced
}: Connection.Connection): ConnectedAccounts["Service"] => {
  const refreshRequest = (
    id: ConnectedAccountId,
    options: RefreshOptions | undefined,
    remaining: number | undefined
  ): HttpClientRequest.HttpClientRequest => {
    const path = `connected_accounts/${id}/refresh`
    if (options === undefined) return request("POST", path, headers, HttpBody.empty)
    const { idempotencyKey, redirectUrl, tokenRefused, validateCredentials } = options
    const hasBody = redirectUrl !== undefined || validateCredentials !== undefined
    let all = hasBody ? jsonHeaders : headers
    if (idempotencyKey !== undefined) all = Headers.set(all, idempotencyKeyHeader, idempotencyKey)
    if (tokenRefused === true) all = Headers.set(all, tokenRefusedHeader, "true")
    if (remaining !== undefined) all = Headers.set(all, timeoutHeader, String(Math.ceil(remaining)))
    const body = hasBody
      ? HttpBody.jsonUnsafe({ redirect_url: redirectUrl, validate_credentials: validateCredentials })
      : HttpBody.empty
    return request("POST", path, all, body)
  }

  const attempt = (id: ConnectedAccountId, options?: RefreshOptions, remaining?: number, limit?: Connection.Limit) => {
    const request = refreshRequest(id, options, remaining)
    return Effect.flatMap(traced("ConnectedAccounts.refresh", id, request, limit), (answer) => {
      const outcome = outcomeIn(answer, id)
      return outcome === undefined ? refused(scrubbed(answer)) : Effect.succeed(outcome)
    })
  }

  const refresh: ConnectedAccounts["Service"]["refresh"] = (id, options) => {
    if (!isId(id)) return malformedId
    if (options?.idempotencyKey !== undefined && !visibleAscii.test(options.idempotencyKey)) {
      return Effect.fail(
        new TransportError({
          message: "The idempotency key must be 1 to 255 visible ASCII characters",
          reason: "encode"
        })
      )
    }
    const deadline = options?.deadline
    if (deadline === undefined) return attempt(id, options)
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const remaining = deadline.epochMilliseconds - clock.currentTimeMillisUnsafe()
      if (remaining <= 0) return exceeded("The deadline had passed before the request was sent", 0, false)
      const onTimeout = () => exceeded("The deadline passed before an answer arrived", remaining, true)
      return attempt(id, options, remaining, { fiber, clock, millis: remaining, onTimeout })
    })
  }

  const get: ConnectedAccounts["Service"]["get"] = (id) => {
    if (!isId(id)) return malformedId
    return Effect.flatMap(
      traced("ConnectedAccounts.get", id, request("GET", `connected_accounts/${id}`, headers, HttpBody.empty)),
      (answer) => {
        const account = accountIn(answer)
        return account === undefined ? unread(scrubbed(answer)) : Effect.succeed(account)
      }
    )
  }

  return Resilience.keepsDeadlines({ get, refresh })
}

/** Provides `ConnectedAccounts` from the server at `baseUrl`. */
export const layer = (options: Options): Layer.Layer<ConnectedAccounts, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.effect(ConnectedAccounts, make(options))

const environment: Config.Wrap<Options> = {
  baseUrl: Config.String("REKINDLE_BASE_URL"),
  apiKey: Config.Redacted("REKINDLE_API_KEY"),
  allowInsecureHttp: Config.Boolean("REKINDLE_ALLOW_INSECURE_HTTP").pipe(Config.withDefault(false))
}

/**
 * Like {@link layer}, from configuration. By default it reads `REKINDLE_BASE_URL`, `REKINDLE_API_KEY` and `REKINDLE_ALLOW_INSECURE_HTTP`
 * (default false).
 */
export const layerConfig = (
  config: Config.Wrap<Options> = environment
): Layer.Layer<ConnectedAccounts, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.effect(ConnectedAccounts, Effect.flatMap(Config.unwrap(config), make))

/**
 * Provides `Connections` besides, from a server with Rekindle's own endpoints. A call that needs a right needs a key with its scope: reading a
 * credential the scope `credential`, a change the scope `admin`.
 */
export const layerConnections = (
  options: ConnectionsOptions
): Layer.Layer<ConnectedAccounts | Connections, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.effectContext(makeConnections(options))

/** Like {@link layerConnections}, from configuration as {@link layerConfig}. */
export const layerConnectionsConfig = (
  config: Config.Wrap<ConnectionsOptions> = environment
): Layer.Layer<ConnectedAccounts | Connections, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.effectContext(Effect.flatMap(Config.unwrap(config), makeConnections))

const isId = Schema.is(ConnectedAccountId)

const exceeded = (message: string, timeout: number, sent: boolean) =>
  new DeadlineExceeded({ message, timeout: Duration.millis(timeout), sent })

const visibleAscii = /^[\x21-\x7e]{1,255}$/
