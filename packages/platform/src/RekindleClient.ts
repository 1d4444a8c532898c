/**
 * Provides `ConnectedAccounts` over HTTP, on any `HttpClient`.
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
  DeadlineExceeded,
  InvalidRequest,
  type RefreshOptions,
  Resilience,
  TransportError
} from "@rekindle/core"
import { Clock, Config, Context, Duration, Effect, Layer, Option, Redacted, Schema, SchemaIssue, Tracer } from "effect"
import {
  FetchHttpClient,
  Headers,
  HttpBody,
  HttpClient,
  HttpClientRequest,
  HttpTraceContext,
  UrlParams
} from "effect/http"
import { accountIn, type RawResponse, outcomeIn, read, refused, unread } from "./internal/answer.ts"
import { idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "./internal/requestHeaders.ts"
import { transportErrorOf } from "./internal/transport.ts"
import { type Target, untracedOf } from "./internal/untraced.ts"
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

type Limit = Resilience.Limit<DeadlineExceeded>
type Sent = Effect.Effect<RawResponse, TransportError | DeadlineExceeded>

/** Makes the client. Fails with `ConfigError` if the URL or the key is malformed. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ConnectedAccounts["Service"], Config.ConfigError, HttpClient.HttpClient> {
  const httpClient = yield* HttpClient.HttpClient
  const { origin, path: base } = yield* baseOf(options)
  const apiKey = yield* keyOf(options)
  const requestInit = yield* Effect.serviceOption(FetchHttpClient.RequestInit)

  const headers = Headers.fromInput({ accept: "application/json", "x-api-key": apiKey })
  const jsonHeaders = Headers.set(headers, "content-type", "application/json")
  const perRequest = Context.make(FetchHttpClient.RequestInit, {
    ...Option.getOrUndefined(requestInit),
    // fetch would follow a redirect and send the key along.
    redirect: "manual" as const
  }).pipe(
    // `traced` makes one span per call. The client's own span would double the cost.
    Context.add(HttpClient.TracerDisabledWhen, () => true)
  )

  const limiter = Resilience.makeLimiter()
  const sendUntraced = untracedOf(httpClient)

  const send = (request: HttpClientRequest.HttpClientRequest, limit: Limit | undefined): Sent => {
    if (sendUntraced !== undefined) {
      const target = { origin, path: request.url.slice(origin.length) }
      return Effect.mapError(Effect.flatMap(sendUntraced(request, target, limit), read), (error) =>
        error._tag === "DeadlineExceeded" ? error : transportErrorOf(error)
      )
    }
    const answer = httpClient
      .execute(request)
      .pipe(Effect.flatMap(read), Effect.mapError(transportErrorOf), Effect.provideContext(perRequest))
    return limit === undefined ? answer : limiter.run(answer, limit)
  }

  /** Sends within a span, and propagates it to the server. It costs nothing without a tracer. */
  const traced = (
    name: string,
    id: ConnectedAccountId,
    request: HttpClientRequest.HttpClientRequest,
    limit?: Limit
  ): Sent =>
    Effect.withFiber((fiber) => {
      if (fiber.getRef(Tracer.Tracer) === Tracer.nativeTracer) return send(request, limit)
      const propagate = fiber.getRef(HttpClient.TracerPropagationEnabled)
      return Effect.useSpan(name, { kind: "client", attributes: { "rekindle.account.id": id } }, (span) =>
        Effect.tap(
          send(propagate ? HttpClientRequest.setHeaders(request, HttpTraceContext.toHeaders(span)) : request, limit),
          ({ status }) => Effect.sync(() => span.attribute("http.response.status_code", status))
        )
      )
    })

  const request = (method: "GET" | "POST", path: string, headers: Headers.Headers, body: HttpBody.HttpBody) =>
    HttpClientRequest.makeWith(method, origin + base + path, UrlParams.empty, Option.none(), headers, body)

  const key = spellingsOf(apiKey)
  /** Removes our key from an answer, in case a server echoes it. */
  const scrubbed = ({ headers, status, text }: RawResponse): RawResponse => {
    const scrub = (text: string) => text.replace(key, "<redacted>")
    const values = Object.entries(headers).map(([name, value]): [string, string] => [name, scrub(value)])
    return { status, headers: Headers.fromInput(Object.fromEntries(values)), text: scrub(text) }
  }

  const refreshRequest = (
    id: ConnectedAccountId,
    options: RefreshOptions | undefined,
    remaining: number | undefined
  ): HttpClientRequest.HttpClientRequest => {
    const path = `${id}/refresh`
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

  const attempt = (id: ConnectedAccountId, options?: RefreshOptions, remaining?: number, limit?: Limit) => {
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
      traced("ConnectedAccounts.get", id, request("GET", id, headers, HttpBody.empty)),
      (answer) => {
        const account = accountIn(answer)
        return account === undefined ? unread(scrubbed(answer)) : Effect.succeed(account)
      }
    )
  }

  return Resilience.keepsDeadlines({ get, refresh })
})

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

const isId = Schema.is(ConnectedAccountId)

/** A malformed id, in spite of its type, is not sent: in a path it could name another address of the server. */
const malformedId = Effect.suspend(() =>
  Effect.fail(new InvalidRequest({ message: "The connected account id is malformed", slug: "invalid_id" }))
)

const exceeded = (message: string, timeout: number, sent: boolean) =>
  new DeadlineExceeded({ message, timeout: Duration.millis(timeout), sent })

const misconfigured = (message: string) =>
  Effect.fail(new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message }))))

const baseUrlName = "The base URL (baseUrl, REKINDLE_BASE_URL)"

/** No message quotes the URL, because it may contain a password. */
const baseOf = ({
  allowInsecureHttp = false,
  apiVersion = "v3",
  baseUrl
}: Options): Effect.Effect<Target, Config.ConfigError> => {
  const url = URL.parse(String(baseUrl))
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return misconfigured(`${baseUrlName} must be an absolute http or https URL`)
  }
  if (url.protocol === "http:" && !allowInsecureHttp && !isLoopback(url.hostname)) {
    return misconfigured(
      `${baseUrlName} must be https, because http sends the API key unencrypted. For a private network, allowInsecureHttp ` +
        "(REKINDLE_ALLOW_INSECURE_HTTP) permits it"
    )
  }
  if (url.username !== "" || url.password !== "") {
    return misconfigured(`${baseUrlName} must not contain credentials; the API key has its own setting`)
  }
  if (url.search !== "" || url.hash !== "") {
    return misconfigured(`${baseUrlName} must have no query and no fragment`)
  }
  if (/\/api\/v3(?:\.1)?\/*$/.test(url.pathname)) {
    return misconfigured(`${baseUrlName} must end before /api/v3, which the client adds`)
  }
  const path = `${url.pathname.replace(/\/+$/, "")}/api/${apiVersion}/connected_accounts/`
  return Effect.succeed({ origin: url.origin, path })
}

/** Expects a host as the URL parser writes it: IPv4 in four decimals, IPv6 shortened and in brackets (RFC 6761 for `localhost`). */
const isLoopback = (host: string): boolean => /^(?:(?:.+\.)?localhost\.?|127(?:\.\d+){3}|\[::1\])$/.test(host)

/** Matches the key as it is, and as JSON may write it: many encoders escape `/` or `=`. */
const spellingsOf = (key: string): RegExp => {
  const spellings = Array.from(key, (character) => {
    const hex = character.charCodeAt(0).toString(16)
    return `(?:${/["\\/]/.test(character) ? "\\\\?" : ""}\\x${hex}|\\\\u00${hex})`
  })
  return new RegExp(spellings.join(""), "gi")
}

const visibleAscii = /^[\x21-\x7e]{1,255}$/

const keyOf = ({ apiKey }: Options): Effect.Effect<string, Config.ConfigError> => {
  // A value from a file or an environment often ends in a line break.
  const key = Redacted.value(apiKey).trim()
  // The HTTP client would refuse another character with an error that quotes the key.
  return /^[\x21-\x7e]+$/.test(key)
    ? Effect.succeed(key)
    : misconfigured("The API key (apiKey, REKINDLE_API_KEY) must be one or more visible ASCII characters")
}
