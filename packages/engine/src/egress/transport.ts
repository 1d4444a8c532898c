/**
 * The two ways a permitted request can leave: over any `HttpClient`, and over Node's undici directly, which costs a third of it. Both tell
 * what they saw as an observation; the rules about where a request may go are the egress's.
 *
 * @module
 */
import { Agent, buildConnector, type Dispatcher } from "@effect/platform-node/Undici"
import { Clock, Duration, Effect, Predicate, type Scope, Stream } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
  HttpMethod
} from "effect/http"
import { lookup } from "node:dns"
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib"
import type { Observation } from "../answer/Verdict.ts"

/** A request that the rules let pass. */
export interface Permitted {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** Sends once. Never fails: whatever happened is an observation. */
export type Transport = (request: Permitted) => Effect.Effect<Observation>

const notSent = (reason: string): Observation => ({ _tag: "NotSent", reason })
const oversized: Observation = { _tag: "NoAnswer", reason: "the body is too large" }

const answer = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  receivedAt: number
): Observation => ({
  _tag: "Answer",
  status,
  contentType: headers["content-type"],
  retryAfter: headers["retry-after"],
  body,
  receivedAt,
  headers
})

/** The first code on the chain of causes; fetch wraps its cause, undici does not. */
const codeOf = (error: unknown): string | undefined => {
  for (let cause = error, depth = 0; depth < 5 && Predicate.isObject(cause); depth++) {
    if (Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code)) return cause.code
    // a name with several addresses fails with all of their errors together
    if (cause instanceof AggregateError) return codeOf(cause.errors[0])
    cause = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  }
  return undefined
}

// --- any client -----------------------------------------------------------------------------------------------------------------

// Failures of connecting, before a byte of the request left. Anything not listed may have been sent.
const neverConnected = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_INVALID_ARG",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "ERR_SSL_WRONG_VERSION_NUMBER"
])

const fromFailure = ({ reason }: HttpClientError.HttpClientError): Observation => {
  if (reason._tag === "EncodeError" || reason._tag === "InvalidUrlError") {
    return notSent("the request could not be built")
  }
  const code = codeOf(reason.cause)
  return code !== undefined && neverConnected.has(code)
    ? notSent(code)
    : { _tag: "NoAnswer", reason: code ?? reason._tag }
}

/** Over any client, its bodies counted while they are read. */
export const overHttpClient = (client: HttpClient.HttpClient, maxBodyBytes: number): Transport => {
  const text = (response: HttpClientResponse.HttpClientResponse) => {
    const decoder = new TextDecoder()
    let size = 0
    return response.stream.pipe(
      Stream.takeWhile((chunk) => (size += chunk.length) <= maxBodyBytes),
      Stream.runFold(
        () => "",
        (text, chunk) => text + decoder.decode(chunk, { stream: true })
      ),
      Effect.map((text) => (size > maxBodyBytes ? undefined : text + decoder.decode())),
      Effect.catchIf(
        ({ reason }) => reason._tag === "EmptyBodyError",
        () => Effect.succeed("")
      )
    )
  }
  return ({ body, headers, method, url }) => {
    if (!HttpMethod.isHttpMethod(method)) return Effect.succeed(notSent("the method is not one of HTTP"))
    const request = HttpClientRequest.make(method)(url, { headers })
    const contentType = headers["content-type"] ?? "text/plain"
    return Effect.gen(function* () {
      const response = yield* client.execute(
        body === undefined ? request : HttpClientRequest.bodyText(request, body, contentType)
      )
      const received = yield* text(response)
      return received === undefined
        ? oversized
        : answer(response.status, response.headers, received, yield* Clock.currentTimeMillis)
    }).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      // Requests carry credentials in bodies and headers: no span is made of them, and the provider gets no trace ids.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.catchTag("HttpClientError", (error) => Effect.succeed(fromFailure(error)))
    )
  }
}

// --- undici ---------------------------------------------------------------------------------------------------------------------

class RefusedAddress extends Error {
  readonly code = "REFUSED_ADDRESS"
}

/**
 * Over an undici agent of its own. It follows no redirects, stops at the size limit by itself, and asks `refuses` about every address a
 * name resolves to at the moment of connecting, so that a second, different answer of the name server gains nothing (DNS rebinding).
 */
export const overUndici = (options: {
  readonly maxBodyBytes: number
  /** How long connecting may take. Given up then, a request was never sent, which nobody could say of it afterwards. */
  readonly connectTimeout: Duration.Duration
  /** Whether a host (with port) may be on an internal address. */
  readonly mayBeInternal: (host: string) => boolean
  readonly refuses: (address: string) => boolean
}): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        // Over HTTP/2 undici sends a request again by itself.
        const connection = { timeout: Duration.toMillis(options.connectTimeout), allowH2: false }
        const anywhere = buildConnector(connection)
        const outside = buildConnector({
          ...connection,
          lookup: (hostname, lookupOptions, callback) =>
            lookup(hostname, { ...lookupOptions, all: true }, (error, addresses) => {
              const refused = error === null && addresses.some(({ address }) => options.refuses(address))
              const failure = refused ? new RefusedAddress(`${hostname} resolves to an internal address`) : error
              if (lookupOptions.all === true) callback(failure, addresses)
              else callback(failure, addresses[0]?.address ?? "", addresses[0]?.family)
            })
        })
        return new Agent({
          allowH2: false,
          maxResponseSize: options.maxBodyBytes,
          connect: (target, callback) =>
            (options.mayBeInternal(target.host ?? target.hostname) ? anywhere : outside)(target, callback)
        })
      }),
      (agent) => Effect.promise(() => agent.destroy())
    ),
    (agent): Transport =>
      ({ body, headers, method, url }) =>
        Effect.callback<Observation>((resume) => {
          const exchange = new Exchange(options.maxBodyBytes, (observation) => resume(Effect.succeed(observation)))
          try {
            agent.dispatch(
              { origin: url.origin, path: url.pathname + url.search, method, headers, body: body ?? null },
              exchange
            )
          } catch (cause) {
            exchange.onResponseError(null, cause)
          }
          return Effect.sync(() => exchange.abandon())
        }).pipe(Effect.flatMap(stamped))
  )

/** An answer carries the time at which it was complete. */
const stamped = (observation: Observation): Effect.Effect<Observation> =>
  observation._tag === "Answer"
    ? Effect.map(Clock.currentTimeMillis, (receivedAt) => ({ ...observation, receivedAt }))
    : Effect.succeed(observation)

/** One request and its answer, collected as undici reports it: the bodies are small, and a stream for each costs more than the request. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #maxBodyBytes: number
  readonly #done: (observation: Observation) => void
  /** Undefined until the request begins to leave. */
  #controller: Dispatcher.DispatchController | undefined
  #abandoned = false
  #status = 0
  #headers: Record<string, string> = {}
  readonly #chunks: Array<Uint8Array> = []

  constructor(maxBodyBytes: number, done: (observation: Observation) => void) {
    this.#maxBodyBytes = maxBodyBytes
    this.#done = done
  }

  /** Closes the connection of a request nobody waits for any more: HTTP/1.1 has no other way to take one back. */
  abandon(): void {
    this.#abandoned = true
    this.#controller?.abort(new Error("abandoned"))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abandoned) this.abandon()
  }

  onResponseStart(_: unknown, status: number, headers: Parameters<typeof flat>[0]): void {
    this.#status = status
    this.#headers = flat(headers)
  }

  onResponseData(_: unknown, chunk: Uint8Array): void {
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    const body = decoded(Buffer.concat(this.#chunks), this.#headers["content-encoding"], this.#maxBodyBytes)
    this.#done(body === undefined ? oversized : answer(this.#status, this.#headers, utf8.decode(body), 0))
  }

  onResponseError(_: unknown, cause: unknown): void {
    const reason = codeOf(cause) ?? "the connection failed"
    this.#done(this.#controller === undefined ? notSent(reason) : { _tag: "NoAnswer", reason })
  }
}

/** Drops a byte order mark, which JSON does not allow and some servers send. */
const utf8 = new TextDecoder()

const decoders = new Map([
  ["gzip", gunzipSync],
  ["x-gzip", gunzipSync],
  ["deflate", inflateSync],
  ["br", brotliDecompressSync]
])

/**
 * The body without its content coding: a server may use one although it was not asked to (RFC 9110 §12.5.3), and there are tokens in it.
 * Undefined when it is over the limit.
 */
const decoded = (body: Buffer, coding: string | undefined, maxOutputLength: number): Buffer | undefined => {
  const decode = decoders.get(coding?.toLowerCase() ?? "")
  if (decode === undefined) return body
  try {
    return decode(body, { maxOutputLength })
  } catch (error) {
    return codeOf(error) === "ERR_BUFFER_TOO_LARGE" ? undefined : body
  }
}

/** Header values as one string each; those given twice are joined, as RFC 9110 §5.3 allows. */
const flat = (
  headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
): Record<string, string> => {
  const flattened: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) flattened[name] = typeof value === "string" ? value : value.join(", ")
  }
  return flattened
}
