/**
 * A fast `HttpClient` for many small calls on Node, directly on undici's dispatcher.
 *
 * `fetch` makes a `Response` for each answer, and undici's `request` makes a stream. Both are expensive for a body of a hundred bytes. This
 * client collects the answer as it arrives, so its `text` and `json` are available at once.
 *
 * **Gotchas**
 *
 * - It is for messages, not for streams. An answer longer than `HttpIncomingMessage.MaxBodySize` (default 4 MiB) is cut off and fails to be read.
 *   A request body has to be text or bytes. Use `NodeHttpClient.layerUndici` for anything else.
 * - It follows no redirects, and neither requests nor decodes compressed answers.
 * - An established connection has no timeouts: use `Effect.timeout`.
 * - It uses HTTP/1.1 unless `allowH2` is set. Interrupting a request closes its connection, because HTTP/1.1 cannot cancel a request.
 * - undici is an optional peer dependency, so the index does not export this module.
 *
 * @module
 */
import { Effect, Inspectable, Layer, Option, Pipeable, Result, type Schema, type Scope, Stream } from "effect"
import {
  Cookies,
  Headers,
  HttpClient,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse,
  HttpIncomingMessage,
  Url,
  UrlParams
} from "effect/http"
import { Resilience } from "@rekindle/core"
import { Agent, type Dispatcher } from "undici"
import { type Collected, registerUntraced, type Target } from "./internal/untraced.ts"

/** The largest answer in bytes, unless `HttpIncomingMessage.MaxBodySize` is provided. */
const defaultMaxBodySize = 4 * 1024 * 1024

/** An `HttpClient` on your own dispatcher: an `Agent` with TLS settings, a `ProxyAgent`, a `MockAgent`. You have to close it yourself. */
export const make = (dispatcher: Dispatcher): HttpClient.HttpClient => {
  const limiter = Resilience.makeLimiter()
  const client = HttpClient.make((request, { origin, pathname, search }) =>
    exchange({ dispatcher, limiter }, request, { origin, path: pathname + search }, undefined)
  )
  // Apart from the span, `HttpClient.make` only handles bodies that are not yet read. Here all are.
  registerUntraced(client, (request, target, limit) => exchange({ dispatcher, limiter }, request, target, limit))
  return client
}

/** A client with its own connections. They are kept alive between requests and closed with the scope. */
export const makeScoped = (options?: Agent.Options): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      // Over HTTP/2, undici repeats a refused request by itself, and one broken connection fails all calls on it.
      Effect.sync(() => new Agent({ allowH2: false, ...options })),
      (agent) => Effect.promise(() => agent.destroy())
    ),
    make
  )

/** Provides the client with its own connections. */
export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.effect(HttpClient.HttpClient, makeScoped())

/** Like {@link layer}, with undici's options for connections: TLS, their number, how long they are kept. */
export const layerWith = (options: Agent.Options): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(HttpClient.HttpClient, makeScoped(options))

const failed = (reason: HttpClientError.HttpClientErrorReason) =>
  Effect.fail(new HttpClientError.HttpClientError({ reason }))

type Resume = (effect: Effect.Effect<Collected, HttpClientError.HttpClientError>) => void

interface Connections {
  readonly dispatcher: Dispatcher
  readonly limiter: Resilience.Limiter
}

const exchange = <E>(
  { dispatcher, limiter }: Connections,
  request: HttpClientRequest.HttpClientRequest,
  { origin, path }: Target,
  limit: Resilience.Limit<E> | undefined
): Effect.Effect<Collected, HttpClientError.HttpClientError | E> =>
  Effect.withFiber((fiber) => {
    const body = bodyOf(request)
    if (body === undefined) {
      return failed(new HttpClientError.EncodeError({ request, description: "The body must be text or bytes" }))
    }
    const { headers, method } = request
    const maxSize = Number(fiber.getRef(HttpIncomingMessage.MaxBodySize) ?? defaultMaxBodySize)
    const start = (resume: Resume) => {
      const exchange = new Exchange(request, maxSize, resume)
      dispatcher.dispatch({ origin, path, method, headers, body, headersTimeout: 0, bodyTimeout: 0 }, exchange)
      return () => exchange.abandon()
    }
    return limit === undefined
      ? Effect.callback((resume) => Effect.sync(start(resume)))
      : limiter.callback(start, limit)
  })

/** The body to send; `undefined` if it cannot be sent. */
const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest): string | Uint8Array | null | undefined => {
  switch (body._tag) {
    case "Empty":
      return null
    case "Uint8Array":
      return body.body
    case "Raw":
      return typeof body.body === "string" || body.body instanceof Uint8Array ? body.body : undefined
    default:
      return undefined
  }
}

type IncomingHeaders = Headers.Input & { readonly "set-cookie"?: string | Array<string> | undefined }

/** One request and its answer, as undici reports them. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: HttpClientRequest.HttpClientRequest
  readonly #limit: number
  readonly #resume: Resume
  #controller: Dispatcher.DispatchController | undefined
  #abandoned = false
  #status = 0
  #headers: IncomingHeaders = {}
  #chunks: Array<Uint8Array> = []
  #size = 0

  constructor(request: HttpClientRequest.HttpClientRequest, limit: number, resume: Resume) {
    this.#request = request
    this.#limit = limit
    this.#resume = resume
  }

  abandon(): void {
    this.#abandoned = true
    this.#controller?.abort(new Error("The request was interrupted"))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abandoned) this.abandon()
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#size > this.#limit) controller.abort(new Error(`The answer is longer than ${this.#limit} bytes`))
  }

  onResponseEnd(): void {
    this.#answer(undefined)
  }

  onResponseError(_: Dispatcher.DispatchController | null, cause: unknown): void {
    // After the head has arrived, the request was sent, so the failure belongs to the body.
    if (this.#status > 0) this.#answer(cause)
    else this.#resume(failed(new HttpClientError.TransportError({ request: this.#request, cause })))
  }

  #answer(cut: unknown): void {
    const [first = noBytes, ...more] = this.#chunks
    const bytes = more.length === 0 ? first : joined(this.#chunks, this.#size)
    this.#resume(Effect.succeed(new CollectedResponse(this.#request, this.#status, this.#headers, bytes, cut)))
  }
}

const noBytes = new Uint8Array()

const joined = (chunks: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

const utf8 = new TextDecoder()

class CollectedResponse extends Inspectable.Class implements Collected {
  readonly [HttpIncomingMessage.TypeId] = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId] = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly #head: IncomingHeaders
  readonly #bytes: Uint8Array
  /** Why the bytes are incomplete; `undefined` if they are complete. */
  readonly #cut: unknown
  #headers: Headers.Headers | undefined

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    status: number,
    head: IncomingHeaders,
    bytes: Uint8Array,
    cut: unknown
  ) {
    super()
    this.request = request
    this.status = status
    this.#head = head
    this.#bytes = bytes
    this.#cut = cut
  }

  get url(): string {
    return Result.match(Url.make(this.request.url, this.request.urlParams, undefined), {
      onSuccess: (url) => url.href.replace(/#.*$/, ""),
      onFailure: () => ""
    })
  }

  get headers(): Headers.Headers {
    return (this.#headers ??= Headers.fromInput(this.#head))
  }

  get cookies(): Cookies.Cookies {
    return Cookies.fromSetCookie(this.#head["set-cookie"] ?? [])
  }

  readonly remoteAddress = Option.none<string>()

  wholeText(maxSize: number): string | undefined {
    return this.#cut === undefined && this.#bytes.length <= maxSize ? utf8.decode(this.#bytes) : undefined
  }

  get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return this.#cut === undefined
      ? Effect.succeed(utf8.decode(this.#bytes))
      : Effect.fail(this.#undecodable(this.#cut))
  }

  get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return this.#read((bytes) => (bytes.length === 0 ? null : JSON.parse(utf8.decode(bytes))))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.HttpClientError> {
    // URLSearchParams would remove a leading "?".
    return this.#read((bytes) => UrlParams.fromInput(new URLSearchParams(utf8.decode(bytes).replace(/^\?/, "%3F"))))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return this.#read((bytes) => new Uint8Array(bytes).buffer)
  }

  get formData(): Effect.Effect<FormData, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.arrayBuffer, (body) =>
      Effect.tryPromise({
        try: () => new Response(body, { headers: this.headers }).formData(),
        catch: (cause) => this.#undecodable(cause)
      })
    )
  }

  get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    const bytes = Stream.succeed(this.#bytes)
    return this.#cut === undefined ? bytes : Stream.concat(bytes, Stream.fail(this.#undecodable(this.#cut)))
  }

  get upgrade(): Effect.Effect<never, HttpClientError.HttpClientError> {
    const description = "Connections are not upgraded here"
    return failed(new HttpClientError.StatusCodeError({ request: this.request, response: this, description }))
  }

  #read<A>(decode: (bytes: Uint8Array) => A): Effect.Effect<A, HttpClientError.HttpClientError> {
    return this.#cut === undefined
      ? Effect.try({ try: () => decode(this.#bytes), catch: (cause) => this.#undecodable(cause) })
      : Effect.fail(this.#undecodable(this.#cut))
  }

  #undecodable(cause: unknown): HttpClientError.HttpClientError {
    const reason = new HttpClientError.DecodeError({ request: this.request, response: this, cause })
    return new HttpClientError.HttpClientError({ reason })
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "effect/http/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  pipe() {
    return Pipeable.pipeArguments(this, arguments)
  }
}
