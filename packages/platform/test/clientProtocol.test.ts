import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, type RefreshOptions, type TransportError } from "@rekindle/core"
import { RekindleApi, RekindleClient } from "@rekindle/platform"
import { Config, ConfigProvider, DateTime, Duration, Effect, Fiber, Layer, Option, Redacted, Tracer } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { TestClock } from "effect/testing"
import { apiKey, id } from "./support.ts"

const wire = { id, status: "ACTIVE", redirect_url: null }

/** An `HttpClient` without a network: a request in, an answer or a failure out. */
const httpClient = (
  answer: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<Response, HttpClientError.HttpClientError>
) =>
  HttpClient.make((request) => Effect.map(answer(request), (response) => HttpClientResponse.fromWeb(request, response)))

const connect = (http: HttpClient.HttpClient, options: Partial<RekindleClient.Options> = {}) =>
  RekindleClient.make({ baseUrl: "https://server.example", apiKey: Redacted.make(apiKey), ...options }).pipe(
    Effect.provideService(HttpClient.HttpClient, http)
  )

interface Sent {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: unknown
}

/** Answers everything with 200 and keeps what was asked. */
const recorder = () => {
  const sent: Array<Sent> = []
  const http = httpClient((request) =>
    Effect.sync(() => {
      const { body, headers, method } = request
      sent.push({
        method,
        url: Option.getOrThrow(HttpClientRequest.toUrl(request)).href,
        headers: { ...headers },
        body: body._tag === "Uint8Array" ? JSON.parse(body.text ?? new TextDecoder().decode(body.body)) : undefined
      })
      return Response.json(wire)
    })
  )
  return { http, sent }
}

describe("what is sent", () => {
  it.effect("is the key without the line break after it", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const client = yield* connect(http, { apiKey: Redacted.make(` ${apiKey}\r\n`) })
      yield* client.refresh(id)
      assert.strictEqual(sent[0]?.headers["x-api-key"], apiKey)
    })
  )

  it.effect("is one request without a body if there are no options", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const client = yield* connect(http)
      yield* client.refresh(id)
      yield* client.refresh(id, {})
      yield* Effect.exit(client.get(id))
      const headers = { accept: "application/json", "x-api-key": apiKey }
      const url = `https://server.example/api/v3/connected_accounts/${id}`
      const refresh = { method: "POST" as const, url: `${url}/refresh`, headers, body: undefined }
      assert.deepStrictEqual(sent, [refresh, refresh, { method: "GET", url, headers, body: undefined }])
    })
  )

  const options: ReadonlyArray<readonly [string, RefreshOptions]> = [
    ["nothing", {}],
    ["a redirect", { redirectUrl: "https://app.example/done?a=b" }],
    ["a validation", { validateCredentials: true }],
    ["both", { redirectUrl: "https://app.example/", validateCredentials: false }],
    ["an idempotency key", { idempotencyKey: "k-1" }]
  ]

  it.effect.each(options)("is the same as the generated HttpApiClient sends for %s", ([, options]) =>
    Effect.gen(function* () {
      const ours = recorder()
      const theirs = recorder()
      const outcome = yield* Effect.flatMap(connect(ours.http, { apiVersion: "v3.1" }), (client) =>
        client.refresh(id, options)
      )
      const generated = yield* HttpApiClient.makeWith(RekindleApi.Api, {
        baseUrl: "https://server.example",
        httpClient: HttpClient.mapRequest(theirs.http, HttpClientRequest.setHeader("x-api-key", apiKey))
      })
      const payload = {
        ...(options.redirectUrl !== undefined && { redirect_url: options.redirectUrl }),
        ...(options.validateCredentials !== undefined && { validate_credentials: options.validateCredentials })
      }
      const response = yield* generated["v3.1"].refresh({
        params: { nanoid: id },
        query: {},
        headers: {
          ...(options.idempotencyKey !== undefined && { "idempotency-key": options.idempotencyKey }),
          ...(options.tokenRefused === true && { "x-rekindle-token-refused": "true" })
        },
        payload: Object.keys(payload).length === 0 ? undefined : payload
      })
      assert.deepStrictEqual(response, wire as never)
      assert.strictEqual(outcome._tag, "Ready")
      // To the server no body, null and {} are one; the generated client says null where we say nothing.
      const comparable = ({ body, headers, method, url }: Sent) => {
        const read = ["x-api-key", "idempotency-key", "x-rekindle-token-refused", ...(body ? ["content-type"] : [])]
        return { method, url, headers: read.map((name) => headers[name]), body: body ?? undefined }
      }
      assert.deepStrictEqual(ours.sent.map(comparable), theirs.sent.map(comparable))
    })
  )

  it.effect.each(["", "x", "../users", "con_1a2b3c4d5e6f/../..", "con_1a2b3c4d5e6f?x=1"])(
    "is nothing for the id '%s', which cannot be one",
    (malformed) =>
      Effect.gen(function* () {
        const { http, sent } = recorder()
        const client = yield* connect(http)
        const forged = malformed as typeof id
        for (const error of [yield* Effect.flip(client.refresh(forged)), yield* Effect.flip(client.get(forged))]) {
          assert.deepInclude({ ...error }, { _tag: "InvalidRequest", slug: "invalid_id" })
        }
        assert.deepStrictEqual(sent, [])
      })
  )

  it.effect("has the remaining time, rounded up to a millisecond", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const client = yield* connect(http)
      yield* TestClock.adjust("1 minute")
      yield* client.refresh(id, { deadline: DateTime.add(yield* DateTime.now, { milliseconds: 1_500 }) })
      assert.strictEqual(sent[0]?.headers["x-rekindle-timeout-ms"], "1500")
    })
  )

  it.effect("has one span, and propagates it to the server", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const client = yield* connect(http)
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* Effect.withTracer(client.refresh(id), tracer)
      assert.deepStrictEqual(
        spans.map(({ kind, name }) => [name, kind]),
        [["ConnectedAccounts.refresh", "client"]]
      )
      const [span] = spans
      assert.deepStrictEqual(Object.fromEntries(span?.attributes ?? []), {
        "rekindle.account.id": id,
        "http.response.status_code": 200
      })
      assert.include(sent[0]?.headers["traceparent"], span?.spanId ?? "no span")
    })
  )
})

describe("a deadline", () => {
  it.effect("that has passed sends nothing", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const client = yield* connect(http)
      const error = yield* Effect.flip(client.refresh(id, { deadline: yield* DateTime.now }))
      if (error._tag !== "DeadlineExceeded") return assert.fail(error._tag)
      assert.strictEqual(error.disposition, "not-sent")
      assert.deepStrictEqual(sent, [])
    })
  )

  it.effect("that passes during the request is ambiguous, with the timeout in the error", () =>
    Effect.gen(function* () {
      const client = yield* connect(httpClient(() => Effect.never))
      const deadline = DateTime.add(yield* DateTime.now, { seconds: 2 })
      const waiting = yield* Effect.forkChild(Effect.flip(client.refresh(id, { deadline })))
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(waiting)
      if (error._tag !== "DeadlineExceeded") return assert.fail(error._tag)
      assert.strictEqual(error.disposition, "ambiguous")
      assert.deepStrictEqual(error.timeout, Duration.seconds(2))
    })
  )
})

describe("Retry-After", () => {
  const forms: ReadonlyArray<readonly [header: string | undefined, millis: number | undefined]> = [
    ["0", 0],
    ["120", 120_000],
    ["86400", 86_400_000],
    ["-5", 0],
    ["Thu, 01 Jan 1970 00:01:30 GMT", 30_000],
    ["Thursday, 01-Jan-70 00:01:30 GMT", 30_000],
    ["Thu Jan  1 00:01:30 1970", 30_000],
    ["Thu, 01 Jan 1970 00:00:10 GMT", 0],
    ["soon", undefined],
    ["1.5", undefined],
    ["Attempt 7", undefined],
    ["", undefined],
    [undefined, undefined]
  ]

  it.effect.each(forms.flatMap((form) => [429, 503].map((status) => [...form, status] as const)))(
    "of %o is %o ms on a %i",
    ([header, millis, status]) =>
      Effect.gen(function* () {
        const body = { error: { message: "busy", code: status * 100, status } }
        const headers = header === undefined ? {} : { "retry-after": header }
        const client = yield* connect(httpClient(() => Effect.sync(() => Response.json(body, { status, headers }))))
        yield* TestClock.setTime(60_000)
        const error = yield* Effect.flip(client.refresh(id))
        if (error._tag !== "RateLimited" && error._tag !== "Unavailable") return assert.fail(error._tag)
        assert.strictEqual(error.retryAfter && Duration.toMillis(error.retryAfter), millis)
      })
  )
})

describe("a failed connection", () => {
  const error = (fields: object, cause?: unknown) => Object.assign(new Error(`secret ${apiKey}`, { cause }), fields)
  const fetchFailed = (cause: unknown) => new TypeError("fetch failed", { cause })

  const cases: ReadonlyArray<
    readonly [name: string, cause: unknown, TransportError["reason"], TransportError["disposition"]]
  > = [
    ["refused", error({ code: "ECONNREFUSED" }), "connect", "not-sent"],
    ["refused, inside fetch", fetchFailed(error({ code: "ECONNREFUSED" })), "connect", "not-sent"],
    ["an unknown name", fetchFailed(error({ code: "ENOTFOUND", syscall: "getaddrinfo" })), "connect", "not-sent"],
    ["name servers busy", error({ code: "EAI_AGAIN" }), "connect", "not-sent"],
    ["connect timeout", fetchFailed(error({ code: "UND_ERR_CONNECT_TIMEOUT" })), "connect", "not-sent"],
    ["timeout of connect", error({ code: "ETIMEDOUT", syscall: "connect" }), "connect", "not-sent"],
    ["timeout of read", error({ code: "ETIMEDOUT", syscall: "read" }), "unknown", "ambiguous"],
    ["host unreachable after connecting", error({ code: "EHOSTUNREACH", syscall: "read" }), "unknown", "ambiguous"],
    ["a certificate of another host", error({ code: "ERR_TLS_CERT_ALTNAME_INVALID" }), "connect", "not-sent"],
    ["a certificate that expired", fetchFailed(error({ code: "CERT_HAS_EXPIRED" })), "connect", "not-sent"],
    ["a certificate nobody signed", error({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), "connect", "not-sent"],
    [
      "no address answers",
      new AggregateError([error({ code: "ETIMEDOUT", syscall: "connect" }), error({ code: "ECONNREFUSED" })]),
      "connect",
      "not-sent"
    ],
    [
      "one address that may have answered",
      new AggregateError([error({ code: "ECONNREFUSED" }), error({ code: "ECONNRESET", syscall: "read" })]),
      "reset",
      "ambiguous"
    ],
    ["reset", error({ code: "ECONNRESET", syscall: "read" }), "reset", "ambiguous"],
    ["reset, inside fetch", fetchFailed(error({ code: "UND_ERR_SOCKET" })), "reset", "ambiguous"],
    ["broken pipe", error({ code: "EPIPE", syscall: "write" }), "reset", "ambiguous"],
    ["no headers in time", error({ code: "UND_ERR_HEADERS_TIMEOUT" }), "unknown", "ambiguous"],
    ["a header undici refuses", error({ code: "UND_ERR_INVALID_ARG" }), "encode", "not-sent"],
    ["a browser that tells nothing", new TypeError("Failed to fetch"), "unknown", "ambiguous"],
    ["nothing known", undefined, "unknown", "ambiguous"],
    [
      "a cause that is its own",
      (() => {
        const it = error({})
        it.cause = it
        return it
      })(),
      "unknown",
      "ambiguous"
    ]
  ]

  it.effect.each(cases)("of the kind '%s' has its own reason and disposition", ([, cause, reason, disposition]) =>
    Effect.gen(function* () {
      const client = yield* connect(
        httpClient((request) =>
          Effect.fail(
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
        )
      )
      const error = yield* Effect.flip(client.refresh(id))
      if (error._tag !== "TransportError") return assert.fail(error._tag)
      assert.deepStrictEqual([error.reason, error.disposition], [reason, disposition])
      assert.notInclude(`${error.message}${error.stack}${String(error.cause)}`, apiKey)
    })
  )

  it.effect("that was never attempted is not-sent", () =>
    Effect.gen(function* () {
      const client = yield* connect(
        httpClient((request) =>
          Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.EncodeError({ request }) }))
        )
      )
      const unsendable = recorder()
      const errors = [
        yield* Effect.flip(client.refresh(id)),
        yield* Effect.flip(
          Effect.flatMap(connect(unsendable.http), (client) => client.refresh(id, { idempotencyKey: "line\nbreak" }))
        )
      ]
      for (const error of errors) {
        if (error._tag !== "TransportError") return assert.fail(error._tag)
        assert.deepStrictEqual([error.reason, error.disposition], ["encode", "not-sent"])
      }
      assert.deepStrictEqual(unsendable.sent, [])
    })
  )
})

describe("configuration", () => {
  const build = (options: Partial<RekindleClient.Options>) => connect(recorder().http, options)

  it.effect.each([
    "server.example",
    "/api",
    "",
    "ftp://server.example",
    "https://user@server.example",
    "https://user:hunter2@server.example",
    "https://server.example/?tenant=hunter2",
    "https://server.example/#hunter2",
    "https://server.example/hunter2/api/v3",
    "https://server.example/api/v3.1/"
  ])("refuses the base URL '%s' without quoting it", (baseUrl) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(build({ baseUrl }))
      assert.instanceOf(error, Config.ConfigError)
      assert.match(String(error), /base URL.*REKINDLE_BASE_URL/)
      assert.notMatch(String(error), /hunter2|server\.example/)
    })
  )

  it.effect.each([
    "http://server.example",
    "http://10.0.0.1:3000",
    "http://128.0.0.1",
    "http://localhost.example",
    "http://127.0.0.1.example",
    "http://[::2]"
  ])("does not send the key in the clear to %s, unless told to", (baseUrl) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(build({ baseUrl }))
      assert.match(String(error), /base URL.*https.*allowInsecureHttp \(REKINDLE_ALLOW_INSECURE_HTTP\)/)
      assert.notInclude(String(error), baseUrl)
      yield* build({ baseUrl, allowInsecureHttp: true })
    })
  )

  it.effect.each([
    "http://localhost:3000",
    "http://LOCALHOST",
    "http://api.localhost",
    "http://127.0.0.1",
    "http://127.9.9.9:1",
    "http://0x7f000001",
    "http://[::1]:3000"
  ])("speaks plain http with this machine: %s", (baseUrl) => Effect.asVoid(build({ baseUrl })))

  it.effect.each(["", "with space", "line\nbreak", "schlüssel"])("refuses the key '%s' without quoting it", (key) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(build({ apiKey: Redacted.make(key) }))
      assert.match(String(error), /API key.*REKINDLE_API_KEY/)
      if (key !== "") assert.notInclude(String(error), key)
    })
  )

  it.effect.each(["https://server.example/base", "https://server.example/base/", "https://server.example/base//"])(
    "keeps the path of %s",
    (baseUrl) =>
      Effect.gen(function* () {
        const { http, sent } = recorder()
        const client = yield* connect(http, { baseUrl: new URL(baseUrl) })
        yield* client.refresh(id)
        assert.strictEqual(sent[0]?.url, `https://server.example/base/api/v3/connected_accounts/${id}/refresh`)
      })
  )

  it.effect("comes from the environment", () =>
    Effect.gen(function* () {
      const { http, sent } = recorder()
      const env = { REKINDLE_BASE_URL: "https://env.example", REKINDLE_API_KEY: "from-env" }
      yield* Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id)).pipe(
        Effect.provide(RekindleClient.layerConfig()),
        Effect.provideService(HttpClient.HttpClient, http),
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
      )
      const insecure = { ...env, REKINDLE_BASE_URL: "http://rekindle:3000", REKINDLE_ALLOW_INSECURE_HTTP: "true" }
      yield* Layer.build(RekindleClient.layerConfig()).pipe(
        Effect.scoped,
        Effect.provideService(HttpClient.HttpClient, http),
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(insecure)))
      )
      assert.strictEqual(sent[0]?.url, `https://env.example/api/v3/connected_accounts/${id}/refresh`)
      assert.strictEqual(sent[0]?.headers["x-api-key"], "from-env")
    })
  )
})
