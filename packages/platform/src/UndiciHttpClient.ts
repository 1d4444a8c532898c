/**
 * An `HttpClient` for Node that makes many small calls cheaply: undici's dispatcher, and nothing between it and the answer.
 *
 * `fetch` makes a `Response` for each answer and undici's own `request` a stream, and both are then read to the end for a body of a
 * hundred bytes. Here the answer is collected as it arrives and handed over complete, so its `text` and `json` are there at once.
 *
 * What may surprise: it is for messages, not for streams. An answer longer than `HttpIncomingMessage.MaxBodySize` (4 MiB unless
 * provided) is cut off there and fails to read; a request body has to be text or bytes. `NodeHttpClient.layerUndici` is for the rest.
 * Redirects are not followed, compressed answers are neither asked for nor unpacked, and a connection once made has no timeouts: use
 * `Effect.timeout`. It speaks HTTP/1.1 unless `allowH2` asks for more. Interrupting a request closes its connection, as HTTP/1.1 has no
 * other way to take one back.
 *
 * undici is an optional peer dependency, so the index leaves this module out.
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
import { registerUntraced, type Target } from "./internal/untraced.ts"

/** Bytes of an answer that are collected unless `HttpIncomingMessage.MaxBodySize` says otherwise. */
const defaultMaxBodySize = 4 * 1024 * 1024

/** An `HttpClient` over a dispatcher of yours: an `Agent` with TLS settings, a `ProxyAgent`, a `MockAgent`. Closing it is yours too. */
export const make = (dispatcher: Dispatcher): HttpClient.HttpClient => {
  const limiter = Resilience.makeLimiter()
  const client = HttpClient.make((request, { origin, pathname, search }) =>
    exchange({ dispatcher, limiter }, request, { origin, path: pathname + search }, undefined)
  )
  // Besides making a span, `HttpClient.make` takes care of bodies that are yet to be read. Here there are none.
  registerUntraced(client, (request, target, limit) => exchange({ dispatcher, limiter }, request, target, limit))
  return client
}

/** A client with connections of its own, kept alive between requests and closed with the scope. */
export const makeScoped = (options?: Agent.Options): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      // Over HTTP/2 undici sends a refused request again without asking, and one broken connection fails every call.
      Effect.sync(() => new Agent({ allowH2: false, ...options })),
      (agent) => Effect.promise(() => agent.destroy())
    ),
    make
  )

/** Provides the client, with connections of its own. */
export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.effect(HttpClient.HttpClient, makeScoped())

/** Like {@link layer}, with undici's options for the connections: TLS, how many, how long they are kept. */
export const layerWith = (options: Agent.Options): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(HttpClient.HttpClient, makeScoped(options))

const failed = (reason: HttpClientError.HttpClientErrorReason) =>
  Effect.fail(new HttpClientError.HttpClientError({ reason }))

type Resume = (effect: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>) => void

interface Connections {
  readonly dispatcher: Dispatcher
  readonly limiter: Resilience.Limiter
}

const exchange = <E>(
  { dispatcher, limiter }: Connections,
  request: HttpClientRequest.HttpClientRequest,
  { origin, path }: Target,
  limit: Resilience.Limit<E> | undefined
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError | E> =>
  Effect.withFiber((fiber) => {
    const body = bodyOf(request)
    if (body === undefined) {
      return failed(new HttpClientError.EncodeError({ request, description: "The body has to be text or bytes" }))
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

/** `undefined` stands for a body that cannot be sent. */
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
    // Once there is a head the request had been sent, so what is missing is the body's failure.
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

class CollectedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId] = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId] = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly #head: IncomingHeaders
  readonly #bytes: Uint8Array
  /** Why the bytes are not all there, if they are not. */
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

  get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return this.#cut === undefined
      ? Effect.succeed(utf8.decode(this.#bytes))
      : Effect.fail(this.#undecodable(this.#cut))
  }

  get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return this.#read((bytes) => (bytes.length === 0 ? null : JSON.parse(utf8.decode(bytes))))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.HttpClientError> {
    // URLSearchParams would take a leading "?" for the mark of a query.
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
