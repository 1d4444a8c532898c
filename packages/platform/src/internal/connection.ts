/**
 * The connection to a server: sends a request once, within a span, and reads the answer.
 *
 * Both clients use it. It checks the address and the key, keeps the key out of answers that become errors, and follows no redirects.
 *
 * @module
 */
import { type ConnectedAccountId, type DeadlineExceeded, type TransportError } from "@rekindle/core"
import * as Resilience from "@rekindle/core/Resilience"
import { Config, Context, Effect, Option, Redacted, Schema, SchemaIssue, Tracer } from "effect"
import {
  FetchHttpClient,
  Headers,
  type HttpBody,
  HttpClient,
  HttpClientRequest,
  type HttpMethod,
  HttpTraceContext,
  UrlParams
} from "effect/http"
import type { Options } from "../RekindleClient.ts"
import { type RawResponse, read, readCollected } from "./answer.ts"
import { transportErrorOf } from "./transport.ts"
import { type Target, untracedOf } from "./untraced.ts"

/** When the caller stops waiting. */
export type Limit = Resilience.Limit<DeadlineExceeded>

type Sent = Effect.Effect<RawResponse, TransportError | DeadlineExceeded>

/** Opens the connection. Fails with `ConfigError` if the URL or the key is malformed. */
export const make = Effect.fnUntraced(function* (options: Options) {
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

  const send = (
    request: HttpClientRequest.HttpClientRequest,
    limit: Limit | undefined,
    maxSize: number | undefined
  ): Sent => {
    if (sendUntraced !== undefined) {
      const target = { origin, path: request.url.slice(origin.length) }
      const collected = sendUntraced(request, target, limit)
      return Effect.mapError(
        Effect.flatMap(collected, (response) => readCollected(response, maxSize)),
        (error) => (error._tag === "DeadlineExceeded" ? error : transportErrorOf(error))
      )
    }
    const answer = httpClient.execute(request).pipe(
      Effect.flatMap((response) => read(response, maxSize)),
      Effect.mapError(transportErrorOf),
      Effect.provideContext(perRequest)
    )
    return limit === undefined ? answer : limiter.run(answer, limit)
  }

  /** Sends within a span, and propagates it to the server. It costs nothing without a tracer. */
  const traced = (
    name: string,
    id: ConnectedAccountId | undefined,
    request: HttpClientRequest.HttpClientRequest,
    limit?: Limit,
    maxSize?: number
  ): Sent =>
    Effect.withFiber((fiber) => {
      if (fiber.getRef(Tracer.Tracer) === Tracer.nativeTracer) return send(request, limit, maxSize)
      const propagate = fiber.getRef(HttpClient.TracerPropagationEnabled)
      const attributes = id === undefined ? {} : { "rekindle.account.id": id }
      return Effect.useSpan(name, { kind: "client", attributes }, (span) => {
        const sent = propagate ? HttpClientRequest.setHeaders(request, HttpTraceContext.toHeaders(span)) : request
        return Effect.tap(send(sent, limit, maxSize), ({ status }) =>
          Effect.sync(() => span.attribute("http.response.status_code", status))
        )
      })
    })

  /** A request to a path below the prefix of the version. */
  const request = (method: HttpMethod.HttpMethod, path: string, headers: Headers.Headers, body: HttpBody.HttpBody) =>
    HttpClientRequest.makeWith(method, origin + base + path, UrlParams.empty, Option.none(), headers, body)

  const key = spellingsOf(apiKey)
  /** Removes our key from an answer, in case a server echoes it. */
  const scrubbed = ({ headers, status, text }: RawResponse): RawResponse => {
    const scrub = (text: string) => text.replace(key, "<redacted>")
    const values = Object.entries(headers).map(([name, value]): [string, string] => [name, scrub(value)])
    return { status, headers: Headers.fromInput(Object.fromEntries(values)), text: scrub(text) }
  }

  return { headers, jsonHeaders, request, scrubbed, traced }
})

/** The connection to a server. */
export type Connection = Effect.Success<ReturnType<typeof make>>

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
  const path = `${url.pathname.replace(/\/+$/, "")}/api/${apiVersion}/`
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

const keyOf = ({ apiKey }: Options): Effect.Effect<string, Config.ConfigError> => {
  // A value from a file or an environment often ends in a line break.
  const key = Redacted.value(apiKey).trim()
  // The HTTP client would refuse another character with an error that quotes the key.
  return /^[\x21-\x7e]+$/.test(key)
    ? Effect.succeed(key)
    : misconfigured("The API key (apiKey, REKINDLE_API_KEY) must be one or more visible ASCII characters")
}
