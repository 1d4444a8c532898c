import { assert, describe, layer } from "@effect/vitest"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { ByteSize, Deferred, Effect, Fiber, Option, Stream, Tracer } from "effect"
import {
  HttpBody,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
  HttpIncomingMessage
} from "effect/http"
import type { RequestListener } from "node:http"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { buffer } from "node:stream/consumers"
import { impostor, nobody } from "./support.ts"

const get = (url: string) => HttpClient.execute(HttpClientRequest.get(url))

/** A server that answers with what it was sent. */
const echo: RequestListener = async (request, response) => {
  const { headers, method, url } = request
  response.end(JSON.stringify({ method, url, headers, body: (await buffer(request)).toString("latin1") }))
}

const answering = (body: string | Uint8Array, headers: Record<string, string | Array<string>> = {}, status = 200) =>
  Effect.flatMap(
    impostor((_, response) => response.writeHead(status, headers).end(body)),
    get
  )

const reasonOf = <A, R>(effect: Effect.Effect<A, HttpClientError.HttpClientError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const codeOf = (cause: unknown): unknown =>
  typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined

/** The sockets a server has seen, in order. */
const counted = (listener: RequestListener) => {
  const sockets = new Set<Socket>()
  const url = impostor((request, response) => {
    sockets.add(request.socket)
    listener(request, response)
  })
  return Effect.map(url, (url) => ({ url, sockets }))
}

layer(UndiciHttpClient.layer, { excludeTestServices: true })("UndiciHttpClient", (it) => {
  describe("a request", () => {
    const bodies: ReadonlyArray<readonly [name: string, HttpBody.HttpBody, sent: string]> = [
      ["no body", HttpBody.empty, ""],
      ["text", HttpBody.text("grüße"), Buffer.from("grüße").toString("latin1")],
      ["JSON", HttpBody.jsonUnsafe({ a: 1 }), '{"a":1}'],
      ["bytes", HttpBody.uint8Array(Uint8Array.of(1, 255)), "\x01\xff"],
      ["part of a buffer", HttpBody.uint8Array(Buffer.from("abcdef").subarray(2, 4)), "cd"],
      ["a raw string", HttpBody.raw("raw", { contentType: "text/plain" }), "raw"],
      ["a form", HttpBody.urlParams([["a", "b c"]]), "a=b+c"]
    ]

    it.effect.each(bodies)("carries %s", ([, body, sent]) =>
      Effect.gen(function* () {
        const url = yield* impostor(echo)
        const request = HttpClientRequest.post(`${url}/path`).pipe(
          HttpClientRequest.setBody(body),
          HttpClientRequest.setHeader("x-own", "1"),
          HttpClientRequest.setUrlParam("q", "a b")
        )
        const response = yield* HttpClient.execute(request)
        const seen = (yield* response.json) as Record<string, unknown>
        assert.deepInclude(seen, { method: "POST", url: "/path?q=a+b", body: sent })
        const headers = seen["headers"] as Record<string, unknown>
        assert.deepInclude(headers, { "x-own": "1", "content-length": String(sent.length) })
        assert.strictEqual(headers["content-type"], body._tag === "Empty" ? undefined : body.contentType)
      })
    )

    const refused: ReadonlyArray<readonly [name: string, HttpBody.HttpBody]> = [
      ["a stream", HttpBody.stream(Stream.make(new Uint8Array(1)))],
      ["form data", HttpBody.formData(new FormData())],
      ["a raw object", HttpBody.raw({})]
    ]

    it.effect.each(refused)("is not sent with %s as its body", ([, body]) =>
      Effect.gen(function* () {
        const { sockets, url } = yield* counted(echo)
        const request = HttpClientRequest.setBody(HttpClientRequest.post(url), body)
        assert.strictEqual((yield* reasonOf(HttpClient.execute(request)))._tag, "EncodeError")
        assert.strictEqual(sockets.size, 0)
      })
    )

    it.effect("is not sent to a malformed URL", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* reasonOf(get("http://[")))._tag, "InvalidUrlError")
      })
    )

    it.effect("is not sent with an invalid header", () =>
      Effect.gen(function* () {
        const { sockets, url } = yield* counted(echo)
        const request = HttpClientRequest.setHeader(HttpClientRequest.get(url), "x-own", "a\r\nb")
        const reason = yield* reasonOf(HttpClient.execute(request))
        assert.strictEqual(codeOf(reason.cause), "UND_ERR_INVALID_ARG")
        assert.strictEqual(sockets.size, 0)
      })
    )

    it.effect("reuses an open connection", () =>
      Effect.gen(function* () {
        const { sockets, url } = yield* counted(echo)
        for (let i = 0; i < 10; i++) yield* get(url)
        // Two, because the answer is handed over a moment before its connection is free again.
        assert.isAtMost(sockets.size, 2)
      })
    )

    it.effect("has a span if there is a tracer, and propagates it to the server", () =>
      Effect.gen(function* () {
        const spans: Array<Tracer.Span> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const url = yield* impostor(echo)
        const response = yield* Effect.withTracer(get(url), tracer)
        const { headers } = (yield* response.json) as { readonly headers: Record<string, string> }
        assert.strictEqual(spans.length, 1)
        assert.include(headers["traceparent"], spans[0]?.spanId)
      })
    )
  })

  describe("an answer", () => {
    it.effect("has status, headers, cookies and URL", () =>
      Effect.gen(function* () {
        const headers = { "X-Own": ["1", "2"], "set-cookie": ["a=1; Path=/", "b=2"] }
        const response = yield* answering("", headers, 404)
        assert.strictEqual(response.status, 404)
        assert.strictEqual(response.headers["x-own"], "1, 2")
        assert.deepStrictEqual(Object.keys(response.cookies.cookies), ["a", "b"])
        assert.match(response.url, /^http:\/\/127\.0\.0\.1:\d+\/$/)
        assert.isTrue(Option.isNone(response.remoteAddress))
        assert.include(JSON.stringify(response), '"status":404')
      })
    )

    it.effect("can be read in every form, and repeatedly", () =>
      Effect.gen(function* () {
        const response = yield* answering("[1]")
        for (let i = 0; i < 2; i++) {
          assert.strictEqual(yield* response.text, "[1]")
          assert.deepStrictEqual(yield* response.json, [1])
          assert.strictEqual(new TextDecoder().decode(yield* response.arrayBuffer), "[1]")
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "[1]")
        }
        const form = yield* answering("?a=b+c", { "content-type": "application/x-www-form-urlencoded" })
        assert.deepStrictEqual((yield* form.urlParamsBody).params, [["?a", "b c"]])
        const multipart = ["--b", 'Content-Disposition: form-data; name="a"', "", "1", "--b--", ""].join("\r\n")
        const parts = yield* answering(multipart, { "content-type": "multipart/form-data; boundary=b" })
        assert.strictEqual((yield* parts.formData).get("a"), "1")
      })
    )

    it.effect("is complete if it arrives in pieces", () =>
      Effect.gen(function* () {
        const url = yield* impostor((_, response) => {
          response.writeEarlyHints({ link: "</a>; rel=preload" })
          const umlaut = Buffer.from("ü")
          response.write(umlaut.subarray(0, 1))
          setImmediate(() => response.end(umlaut.subarray(1)))
        })
        const response = yield* get(url)
        assert.strictEqual(response.status, 200)
        assert.strictEqual(yield* response.text, "ü")
      })
    )

    it.effect("without a body reads as empty text and null", () =>
      Effect.gen(function* () {
        const response = yield* answering("", {}, 204)
        assert.strictEqual(yield* response.text, "")
        assert.isNull(yield* response.json)
        assert.deepStrictEqual(yield* Stream.runCount(Stream.filter(response.stream, ({ length }) => length > 0)), 0)
      })
    )

    it.effect("to HEAD has the length of the absent body", () =>
      Effect.gen(function* () {
        const url = yield* impostor((_, response) => response.writeHead(200, { "content-length": 5 }).end())
        const response = yield* HttpClient.execute(HttpClientRequest.head(url))
        assert.strictEqual(response.headers["content-length"], "5")
        assert.strictEqual(yield* response.text, "")
      })
    )

    it.effect("that does not decode fails with the response in the error", () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(Effect.flatMap(answering("{"), (response) => response.json))
        if (reason._tag !== "DecodeError") return assert.fail(reason._tag)
        assert.strictEqual(reason.response.status, 200)
        const form = answering("x", { "content-type": "multipart/form-data; boundary=b" })
        assert.strictEqual((yield* reasonOf(Effect.flatMap(form, (response) => response.formData)))._tag, "DecodeError")
      })
    )

    it.effect("longer than MaxBodySize is cut off and fails to be read", () =>
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        const url = yield* impostor((request, response) => {
          request.socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
          response.write("x".repeat(1_001))
        })
        const response = yield* Effect.provideService(get(url), HttpIncomingMessage.MaxBodySize, ByteSize.bytes(1_000))
        assert.strictEqual(response.status, 200)
        const { arrayBuffer, formData, json, text, urlParamsBody } = response
        const readings: ReadonlyArray<Effect.Effect<unknown, HttpClientError.HttpClientError>> = [
          arrayBuffer,
          formData,
          json,
          text,
          urlParamsBody
        ]
        for (const reading of readings) assert.strictEqual((yield* reasonOf(reading))._tag, "DecodeError")
        let seen = 0
        const all = Stream.runForEach(response.stream, ({ length }) => Effect.sync(() => (seen += length)))
        assert.strictEqual((yield* reasonOf(all))._tag, "DecodeError")
        assert.isAbove(seen, 1_000)
        yield* Deferred.await(closed)
      })
    )

    it.effect("that redirects is returned as it is", () =>
      Effect.gen(function* () {
        const response = yield* answering("", { location: "http://127.0.0.1:1/" }, 302)
        assert.strictEqual(response.status, 302)
      })
    )

    it.effect("is never an upgrade", () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(Effect.flatMap(answering(""), (response) => response.upgrade))
        assert.strictEqual(reason._tag, "StatusCodeError")
      })
    )
  })

  describe("a failing connection", () => {
    it.effect("has its code in the error if no server listens", () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(get(nobody))
        assert.strictEqual(reason._tag, "TransportError")
        assert.strictEqual(codeOf(reason.cause), "ECONNREFUSED")
      })
    )

    it.effect("has its code in the error if it breaks before an answer", () =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(
          Effect.flatMap(
            impostor((request) => request.socket.destroy()),
            get
          )
        )
        assert.strictEqual(reason._tag, "TransportError")
        assert.strictEqual(codeOf(reason.cause), "UND_ERR_SOCKET")
      })
    )

    it.effect("leaves the head and the received part of the body if it breaks within the body", () =>
      Effect.gen(function* () {
        const url = yield* impostor((request, response) => {
          response.writeHead(200, { "content-length": 10 })
          response.write("abc", () => request.socket.destroy())
        })
        const response: HttpClientResponse.HttpClientResponse = yield* get(url)
        assert.strictEqual(response.status, 200)
        const reason = yield* reasonOf(response.text)
        assert.strictEqual(reason._tag, "DecodeError")
        assert.strictEqual(codeOf(reason.cause), "UND_ERR_SOCKET")
      })
    )
  })

  describe("an interrupted request", () => {
    it.effect("closes its connection", () =>
      Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const closed = yield* Deferred.make<void>()
        const url = yield* impostor((request) => {
          request.socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
          Deferred.doneUnsafe(arrived, Effect.void)
        })
        const fiber = yield* Effect.forkChild(get(url))
        yield* Deferred.await(arrived)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(closed)
      })
    )

    it.effect("that waits for a connection is never sent", () =>
      Effect.gen(function* () {
        const paths: Array<string | undefined> = []
        const first = yield* Deferred.make<() => void>()
        const url = yield* impostor((request, response) => {
          paths.push(request.url)
          if (request.url === "/first")
            Deferred.doneUnsafe(
              first,
              Effect.succeed(() => void response.end())
            )
          else response.end()
        })
        yield* Effect.gen(function* () {
          const holder = yield* Effect.forkChild(get(`${url}/first`))
          const answer = yield* Deferred.await(first)
          const waiting = yield* Effect.forkChild(get(`${url}/second`), { startImmediately: true })
          yield* Fiber.interrupt(waiting)
          answer()
          yield* Fiber.join(holder)
          yield* get(`${url}/third`)
        }).pipe(Effect.provide(UndiciHttpClient.layerWith({ connections: 1 })))
        assert.deepStrictEqual(paths, ["/first", "/third"])
      })
    )
  })

  it.effect("does not offer HTTP/2, over which undici repeats requests by itself", () =>
    Effect.gen(function* () {
      const hello = yield* Deferred.make<string>()
      const port = yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const server = createServer((socket) => {
            socket.on("error", () => {})
            socket.once("data", (bytes) => {
              Deferred.doneUnsafe(hello, Effect.succeed(bytes.toString("latin1")))
              socket.destroy()
            })
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
      yield* Effect.flip(get(`https://127.0.0.1:${port}`))
      const offered = yield* Deferred.await(hello)
      assert.include(offered, "\x08http/1.1")
      assert.notInclude(offered, "\x02h2")
    })
  )

  it.effect("closes its connections with its scope", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const url = yield* impostor((request, response) => {
        request.socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        response.end()
      })
      yield* Effect.provide(get(url), UndiciHttpClient.layerWith({ keepAliveTimeout: 60_000 }))
      yield* Deferred.await(closed)
    })
  )
})
