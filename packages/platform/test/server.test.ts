import {
  AccountNotFound,
  DeadlineExceeded,
  Forbidden,
  InvalidRequest,
  NotReady,
  RateLimited,
  Ready,
  RedirectRequired,
  type RefreshError,
  RefreshFailed,
  type RefreshOptions,
  RefreshUnsupported,
  RefusedLocally,
  TransportError,
  Unauthorized,
  Unavailable,
  UnexpectedResponse,
  UnknownStatus
} from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { RekindleServer } from "@rekindle/platform"
import { DateTime, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { account, apiKey, call, callRaw, callUnheld, exchange, id, serve } from "./support.ts"

const refreshPath = `/api/v3/connected_accounts/${id}/refresh`
const json = { "content-type": "application/json" }

/** Asserts the envelope and the request id of a failure, and gives the envelope's inside. */
const envelope = ({ headers, status, text }: { status: number; headers: Headers; text: string }) => {
  const { error, ...rest } = JSON.parse(text)
  assert.deepStrictEqual(rest, {})
  assert.strictEqual(headers.get("content-type"), "application/json")
  assert.strictEqual(error.status, status)
  assert.isString(error.message)
  assert.isNumber(error.code)
  assert.match(error.request_id, /^req_[0-9a-f]{24}$/)
  assert.strictEqual(headers.get("x-request-id"), error.request_id)
  return error
}

interface Case {
  readonly name: string
  readonly path?: string
  readonly init?: RequestInit
  readonly status: number
  readonly slug: string
  readonly headers?: Record<string, string>
}

const failures: ReadonlyArray<Case> = [
  { name: "an unknown route", path: "/nowhere", status: 404, slug: "route_not_found" },
  { name: "an unknown route of the API", path: "/api/v3/nowhere", status: 404, slug: "route_not_found" },
  {
    name: "an unknown route of the API with a malformed query",
    path: "/api/v3/nowhere?x=%zz",
    status: 404,
    slug: "route_not_found"
  },
  { name: "an unknown version", path: `/api/v4/connected_accounts/${id}`, status: 404, slug: "route_not_found" },
  {
    name: "a wrong method",
    init: { method: "DELETE" },
    status: 405,
    slug: "method_not_allowed",
    headers: { allow: "POST" }
  },
  {
    name: "a wrong method on an account",
    path: `/api/v3.1/connected_accounts/${id}`,
    init: { method: "PUT" },
    status: 405,
    slug: "method_not_allowed",
    headers: { allow: "GET, HEAD" }
  },
  {
    name: "a wrong method on the OpenAPI document",
    path: "/openapi.json",
    status: 405,
    slug: "method_not_allowed",
    headers: { allow: "GET, HEAD" }
  },
  { name: "a malformed id", path: "/api/v3/connected_accounts/nope/refresh", status: 400, slug: "invalid_id" },
  {
    name: "a malformed escape in the id",
    path: "/api/v3/connected_accounts/%zz/refresh",
    status: 400,
    slug: "invalid_id"
  },
  {
    name: "an id that climbs",
    path: "/api/v3/connected_accounts/..%2f..%2fetc/refresh",
    status: 400,
    slug: "invalid_id"
  },
  {
    name: "an id longer than the router reads",
    path: `/api/v3/connected_accounts/con_${"a".repeat(400)}/refresh`,
    status: 400,
    slug: "invalid_id"
  },
  {
    name: "a method of the protocol that nobody serves",
    path: `/api/v3/connected_accounts/${id}`,
    init: { method: "OPTIONS" },
    status: 405,
    slug: "method_not_allowed",
    headers: { allow: "GET, HEAD" }
  },
  { name: "malformed JSON", init: { headers: json, body: "{" }, status: 400, slug: "invalid_body" },
  { name: "a body that is an array", init: { headers: json, body: "[]" }, status: 400, slug: "invalid_body" },
  {
    name: "a body field of the wrong type",
    init: { headers: json, body: JSON.stringify({ validate_credentials: "yes" }) },
    status: 400,
    slug: "invalid_body"
  },
  {
    name: "a redirect to a script",
    init: { headers: json, body: JSON.stringify({ redirect_url: "javascript:alert(1)" }) },
    status: 400,
    slug: "invalid_body"
  },
  {
    name: "a redirect with a user name",
    path: `${refreshPath}?redirect_url=https://bank.example@evil.example/`,
    status: 400,
    slug: "invalid_query"
  },
  {
    name: "a redirect with a control character",
    path: `${refreshPath}?redirect_url=https://a.example/%00`,
    status: 400,
    slug: "invalid_query"
  },
  {
    name: "a redirect that is too long",
    path: `${refreshPath}?redirect_url=https://a.example/${"x".repeat(2_048)}`,
    status: 400,
    slug: "invalid_query"
  },
  { name: "a relative redirect", path: `${refreshPath}?redirect_url=/here`, status: 400, slug: "invalid_query" },
  {
    name: "two values for a query field",
    path: `${refreshPath}?redirect_url=https://a.example&redirect_url=https://b.example`,
    status: 400,
    slug: "invalid_query"
  },
  {
    name: "query and body that disagree",
    path: `${refreshPath}?redirect_url=https://a.example`,
    init: { headers: json, body: JSON.stringify({ redirect_url: "https://b.example" }) },
    status: 400,
    slug: "conflicting_fields"
  },
  {
    name: "a negative timeout",
    init: { headers: { "x-rekindle-timeout-ms": "-1" } },
    status: 400,
    slug: "invalid_headers"
  },
  {
    name: "a timeout in words",
    init: { headers: { "x-rekindle-timeout-ms": "soon" } },
    status: 400,
    slug: "invalid_headers"
  },
  {
    name: "an idempotency key with a space",
    init: { headers: { "idempotency-key": "a b" } },
    status: 400,
    slug: "invalid_headers"
  },
  {
    name: "another content type",
    init: { headers: { "content-type": "text/plain" }, body: "{}" },
    status: 415,
    slug: "unsupported_media_type"
  },
  {
    name: "a body that is too large",
    init: { headers: json, body: JSON.stringify({ junk: "x".repeat(65 * 1024) }) },
    status: 413,
    slug: "body_too_large"
  },
  {
    name: "a missing key",
    init: { headers: { "x-api-key": "" } },
    status: 401,
    slug: "missing_api_key",
    headers: { "www-authenticate": 'ApiKey header="x-api-key"' }
  },
  {
    name: "an unknown key",
    init: { headers: { "x-api-key": "guess" } },
    status: 401,
    slug: "unknown_api_key",
    headers: { "www-authenticate": 'ApiKey header="x-api-key"' }
  }
]

describe("every failure is answered with the envelope and a request id", () => {
  it.live.each(failures)("$name", ({ headers = {}, init, path = refreshPath, slug, status }) =>
    Effect.gen(function* () {
      const url = yield* serve()
      const response = yield* call(url + path, { method: "POST", ...init })
      assert.strictEqual(response.status, status, response.text)
      assert.strictEqual(envelope(response).slug, slug)
      for (const [name, value] of Object.entries(headers)) assert.strictEqual(response.headers.get(name), value)
    }).pipe(Effect.scoped)
  )

  it.live("a body that is too large, without a content length", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      const chunks = Array.from({ length: 10 }, () => "x".repeat(10 * 1024))
      const response = yield* callRaw(url + refreshPath, { method: "POST", headers: json }, chunks)
      assert.strictEqual(response.status, 413)
      assert.strictEqual(envelope(response).slug, "body_too_large")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["with an escape", refreshPath.replace("api", "%61pi")],
    ["as a URL that is none", `http://[${refreshPath}`],
    ["with slashes to spare", `/${refreshPath.replace("v3", "/V3")}`]
  ] as const)("at an address spelled %s, no less than at the usual one", ([, path]) =>
    Effect.gen(function* () {
      const url = yield* serve()
      const post = (headers: Record<string, string>, body = "{}") =>
        callRaw(url, { method: "POST", path, headers: { ...json, ...headers } }, [body])
      const answers = [
        yield* post({}, JSON.stringify({ junk: "x".repeat(65 * 1024) })),
        yield* post({ "x-api-key": "guess" }),
        yield* post({ "content-type": "text/plain" })
      ]
      const slugs = answers.map((answer) => envelope(answer).slug)
      assert.deepStrictEqual(slugs, ["body_too_large", "unknown_api_key", "unsupported_media_type"])
    }).pipe(Effect.scoped)
  )

  it.live.each(["TRACE", "OPTIONS"])("%s on an address that exists", (method) =>
    Effect.gen(function* () {
      const url = yield* serve()
      const response = yield* callRaw(url + refreshPath, { method })
      assert.deepStrictEqual([response.status, response.headers.get("allow")], [405, "POST"])
      assert.strictEqual(envelope(response).slug, "method_not_allowed")
    }).pipe(Effect.scoped)
  )

  const wrong: ReadonlyArray<readonly [RequestInit, query: string, said: string]> = [
    [{ headers: json, body: "[]" }, "", "the body must be a JSON object"],
    [{ headers: json, body: "{" }, "", "the body must be a JSON object"],
    [{ headers: json, body: '{"validate_credentials":"yes"}' }, "", "validate_credentials: Expected true or false"],
    [
      { headers: { "x-rekindle-timeout-ms": "soon" } },
      "",
      "x-rekindle-timeout-ms: Expected a whole number of milliseconds, from 0"
    ],
    [
      { headers: { "x-rekindle-timeout-ms": "1.5" } },
      "",
      "x-rekindle-timeout-ms: Expected a whole number of milliseconds, from 0"
    ],
    [
      {},
      "?redirect_url=https://a.example&redirect_url=https://b.example",
      "redirect_url: Expected one URL as a string"
    ],
    [{ headers: { "idempotency-key": "a b" } }, "", "idempotency-key: Expected 1 to 255 visible ASCII characters"]
  ]
  it.live.each(wrong)("a malformed request, with a message for people: %o", ([init, query, said]) =>
    Effect.gen(function* () {
      const response = yield* call((yield* serve()) + refreshPath + query, { method: "POST", ...init })
      assert.deepStrictEqual(envelope(response).errors, [said])
    }).pipe(Effect.scoped)
  )

  it.live("a defect, whose cause is only in our log", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ cause, message }) => logged.push(message, String(cause)))
      const url = yield* serve({ refresh: () => Effect.die(new Error("password=hunter2")) }).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      const response = yield* call(url + refreshPath, { method: "POST" })
      assert.strictEqual(response.status, 500)
      assert.strictEqual(envelope(response).slug, "internal_error")
      assert.notInclude(response.text, "hunter2")
      assert.include(logged.join(), "hunter2")
    }).pipe(Effect.scoped)
  )

  it.live("an encoding failure of the server, as a defect and not as the caller's fault", () =>
    Effect.gen(function* () {
      const url = yield* serve({ get: () => Effect.succeed({ ...account, userId: 1 as never }) })
      const response = yield* call(`${url}/api/v3/connected_accounts/${id}`)
      assert.strictEqual(response.status, 500)
      assert.strictEqual(envelope(response).slug, "internal_error")
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )

  it.live("the caller's request id is used if it is well formed", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      const own = yield* call(url + refreshPath, { method: "GET", headers: { "x-request-id": "trace-1.2:3" } })
      assert.strictEqual(JSON.parse(own.text).error.request_id, "trace-1.2:3")
      assert.strictEqual(own.headers.get("x-request-id"), "trace-1.2:3")
      const forged = yield* call(url + refreshPath, { method: "GET", headers: { "x-request-id": "a b" } })
      envelope(forged)
    }).pipe(Effect.scoped)
  )

  it.live("a browser may call if the application allows it, and sees failures too", () =>
    Effect.gen(function* () {
      const origin = "https://app.example"
      const url = yield* serve({}, HttpRouter.cors({ allowedOrigins: [origin], allowedHeaders: ["x-api-key"] }))
      const preflight = yield* call(url + refreshPath, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key" }
      })
      assert.strictEqual(preflight.status, 204)
      for (const [path, slug] of [
        [refreshPath, "unknown_api_key"],
        ["/nowhere", "route_not_found"]
      ] as const) {
        const response = yield* call(url + path, { method: "POST", headers: { origin, "x-api-key": "guess" } })
        assert.strictEqual(envelope(response).slug, slug)
        assert.strictEqual(response.headers.get("access-control-allow-origin"), origin)
      }
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["answers unlike ours", HttpServerResponse.empty({ status: 404, headers: { "x-app": "1" } }), 404, ""],
    [
      "pages",
      HttpServerResponse.text("<h1>gone</h1>", { status: 410, contentType: "text/html" }),
      410,
      "<h1>gone</h1>"
    ],
    ["plain words", HttpServerResponse.text("no", { status: 401 }), 401, "no"]
  ] as const)("leaves the routes of an application beside it their own %s", ([, answer, status, text]) =>
    Effect.gen(function* () {
      const url = yield* serve({}, HttpRouter.add("GET", "/app", answer))
      const response = yield* call(`${url}/app`)
      assert.deepStrictEqual([response.status, response.text], [status, text])
      for (const ours of ["x-request-id", "x-should-retry", "www-authenticate", "cache-control"]) {
        assert.isNull(response.headers.get(ours), ours)
      }
    }).pipe(Effect.scoped)
  )

  it.live("a defect in an application's route, and the size of its bodies, are left to the application", () =>
    Effect.gen(function* () {
      const url = yield* serve(
        {},
        Layer.merge(
          HttpRouter.add("GET", "/broken", Effect.die(HttpServerResponse.text("theirs", { status: 500 }))),
          HttpRouter.add("POST", "/large", (request) =>
            Effect.map(Effect.orDie(request.text), (text) => HttpServerResponse.text(String(text.length)))
          )
        )
      )
      const broken = yield* call(`${url}/broken`)
      assert.deepStrictEqual([broken.status, broken.text], [500, "theirs"])
      const large = yield* call(`${url}/large`, { method: "POST", body: "x".repeat(100_000) })
      assert.deepStrictEqual([large.status, large.text], [200, "100000"])
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )
})

describe("an answer about an account", () => {
  const cases: ReadonlyArray<readonly [name: string, path: string, init: RequestInit, status: number]> = [
    ["that shows it", `/api/v3/connected_accounts/${id}`, {}, 200],
    ["that refreshed it", refreshPath, { method: "POST" }, 200],
    ["to a stranger", refreshPath, { method: "POST", headers: { "x-api-key": "guess" } }, 401],
    ["to a malformed request", refreshPath, { method: "POST", headers: json, body: "{" }, 400],
    ["to a wrong method", refreshPath, { method: "DELETE" }, 405],
    ["at no address", "/api/v3/nowhere", {}, 404]
  ]
  it.live.each(cases)("%s is neither cached nor sniffed", ([, path, init, status]) =>
    Effect.gen(function* () {
      const response = yield* call((yield* serve()) + path, init)
      assert.strictEqual(response.status, status)
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
      assert.strictEqual(response.headers.get("x-content-type-options"), "nosniff")
    }).pipe(Effect.scoped)
  )
})

describe("a success", () => {
  const cases = [
    [Ready.make({ id }), { id, status: "ACTIVE", redirect_url: null }],
    [
      RedirectRequired.make({ id, redirectUrl: "https://idp.example/consent", status: "ACTIVE" }),
      { id, status: "ACTIVE", redirect_url: "https://idp.example/consent" }
    ],
    [NotReady.make({ id, status: "EXPIRED" }), { id, status: "EXPIRED", redirect_url: null }],
    [NotReady.make({ id, status: UnknownStatus.make("PAUSED") }), { id, status: "PAUSED", redirect_url: null }]
  ] as const

  it.live.each(cases)("has the three fields of %o", ([outcome, wire]) =>
    Effect.gen(function* () {
      const url = yield* serve({ refresh: () => Effect.succeed(outcome) })
      for (const prefix of ["v3", "v3.1"]) {
        // The published form has no PAUSED.
        const response = yield* callUnheld(`${url}/api/${prefix}/connected_accounts/${id}/refresh`, { method: "POST" })
        assert.strictEqual(response.status, 200)
        assert.deepStrictEqual(JSON.parse(response.text), wire)
        assert.isNotNull(response.headers.get("x-request-id"))
      }
    }).pipe(Effect.scoped)
  )

  it.live("serves the OpenAPI document", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      const response = yield* call(`${url}/openapi.json`, { headers: { "x-api-key": "" } })
      assert.strictEqual(response.status, 200)
      assert.hasAnyKeys(JSON.parse(response.text).paths, ["/api/v3.1/connected_accounts/{nanoid}/refresh"])
    }).pipe(Effect.scoped)
  )

  it.live("serves the docs page, which loads nothing from other hosts", () =>
    Effect.gen(function* () {
      const url = yield* serve({}, RekindleServer.docs)
      const response = yield* call(`${url}/docs`, { headers: { "x-api-key": "" } })
      assert.strictEqual(response.status, 200)
      assert.match(response.headers.get("content-type") ?? "", /^text\/html/)
      assert.include(response.text, "Rekindle")
      assert.notMatch(response.text, /<(?:script|link)[^>]+(?:src|href)=["']?(?:https?:)?\/\//)
    }).pipe(Effect.scoped)
  )
})

describe("the request's fields", () => {
  /** What `refresh` is asked for by a request. */
  const asked = (init: RequestInit, query = "") =>
    Effect.gen(function* () {
      const seen: Array<RefreshOptions | undefined> = []
      const url = yield* serve({
        refresh: (id, options) => Effect.sync(() => (seen.push(options), Ready.make({ id })))
      })
      const response = yield* call(url + refreshPath + query, { method: "POST", ...init })
      assert.strictEqual(response.status, 200, response.text)
      return seen[0]
    }).pipe(Effect.scoped)

  it.live.each([
    {},
    { headers: json },
    { headers: json, body: "{}" },
    { headers: json, body: "null" },
    { headers: json, body: '{"later":1}' },
    // some clients name a type for every POST
    { headers: { "content-type": "application/x-www-form-urlencoded" }, body: "" }
  ])("may all be absent: %o", (init) => Effect.map(asked(init), (options) => assert.deepStrictEqual(options, {})))

  it.live("may be absent, without a content length and with any content type", () =>
    Effect.gen(function* () {
      const url = yield* serve()
      for (const type of ["application/x-www-form-urlencoded", "text/plain", "application/json"]) {
        const head = [`POST ${refreshPath} HTTP/1.1`, "host: server", "connection: close", `x-api-key: ${apiKey}`]
        const answer = yield* exchange(url, [...head, `content-type: ${type}`, "", ""].join("\r\n"))
        assert.match(answer, /^HTTP\/1\.1 200 /, type)
        const chunked = [...head, `content-type: ${type}`, "transfer-encoding: chunked", "", "0", "", ""].join("\r\n")
        assert.match(yield* exchange(url, chunked), /^HTTP\/1\.1 200 /, type)
      }
    }).pipe(Effect.scoped)
  )

  it.live("come from body, query and headers", () =>
    Effect.gen(function* () {
      const redirectUrl = "https://app.example/done"
      const body = JSON.stringify({ redirect_url: redirectUrl, validate_credentials: true })
      const query = `?redirect_url=${encodeURIComponent(redirectUrl)}`
      assert.deepStrictEqual(yield* asked({ headers: { ...json, "idempotency-key": "k1" }, body }, query), {
        redirectUrl,
        validateCredentials: true,
        idempotencyKey: "k1"
      })
      assert.deepStrictEqual(yield* asked({}, query), { redirectUrl })
    })
  )

  it.live("give a deadline relative to the server's clock", () =>
    Effect.gen(function* () {
      const before = yield* DateTime.now
      const options = yield* asked({ headers: { "x-rekindle-timeout-ms": "60000" } })
      const after = yield* DateTime.now
      const deadline = options?.deadline
      if (deadline === undefined) return assert.fail("no deadline")
      assert.isTrue(
        DateTime.between(deadline, {
          minimum: DateTime.add(before, { minutes: 1 }),
          maximum: DateTime.add(after, { minutes: 1 })
        })
      )
    })
  )
})

describe("a caller that leaves", () => {
  /** A refresh that goes on until it is told to stop, and says whether it was let finish. */
  const slow = Effect.gen(function* () {
    const started = yield* Deferred.make<void>()
    const proceed = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<"finished" | "interrupted">()
    const url = yield* serve({
      refresh: (id) =>
        Deferred.succeed(started, undefined).pipe(
          Effect.andThen(Deferred.await(proceed)),
          Effect.andThen(Deferred.succeed(ended, "finished")),
          Effect.onInterrupt(() => Deferred.succeed(ended, "interrupted")),
          Effect.as(Ready.make({ id }))
        )
    })
    return { ended, proceed, started, url }
  })

  it.live("by disconnecting does not interrupt the refresh", () =>
    Effect.gen(function* () {
      const { ended, proceed, started, url } = yield* slow
      const controller = new AbortController()
      const init = { method: "POST", headers: { "x-api-key": apiKey }, signal: controller.signal }
      const gone = yield* Effect.forkChild(Effect.exit(Effect.tryPromise(() => fetch(url + refreshPath, init))))
      yield* Deferred.await(started)
      controller.abort()
      yield* Fiber.join(gone)
      // The server learns of it on its own connection; a whole request behind it on another gives it the time.
      yield* call(url + refreshPath, { method: "GET" })
      yield* Deferred.succeed(proceed, undefined)
      assert.strictEqual(yield* Deferred.await(ended), "finished")
    }).pipe(Effect.scoped)
  )

  it.live("by its deadline gets a 500, which does not say that nothing was done, and the refresh continues", () =>
    Effect.gen(function* () {
      const { ended, proceed, url } = yield* slow
      const response = yield* call(url + refreshPath, { method: "POST", headers: { "x-rekindle-timeout-ms": "30" } })
      assert.strictEqual(response.status, 500)
      assert.strictEqual(envelope(response).slug, "deadline_exceeded")
      yield* Deferred.succeed(proceed, undefined)
      assert.strictEqual(yield* Deferred.await(ended), "finished")
    }).pipe(Effect.scoped)
  )

  it.live("before its request arrived is answered that nothing was done", () =>
    Effect.gen(function* () {
      const url = yield* serve({ refresh: () => Effect.die("must not be asked") })
      const response = yield* call(url + refreshPath, { method: "POST", headers: { "x-rekindle-timeout-ms": "0" } })
      assert.strictEqual(response.status, 503)
      assert.strictEqual(envelope(response).slug, "deadline_exceeded")
    }).pipe(Effect.scoped)
  )
})

describe("a server that shuts down", () => {
  it.live("answers the caller of a refresh in flight that the outcome is unknown", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const started = yield* Deferred.make<void>()
      const url = yield* serve({
        refresh: () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
      }).pipe(Scope.provide(scope))
      const waiting = yield* Effect.forkChild(call(url + refreshPath, { method: "POST" }))
      yield* Deferred.await(started)
      yield* Scope.close(scope, Exit.void)
      const response = yield* Fiber.join(waiting)
      assert.strictEqual(response.status, 500)
      assert.strictEqual(envelope(response).slug, "interrupted")
    })
  )
})

describe("a failure of the provider", () => {
  const transport = (reason: TransportError["reason"]) => new TransportError({ message: "connect 10.0.0.3", reason })
  const local = (reason: RefusedLocally["reason"], wait: { readonly retryAfter?: Duration.Duration } = {}) =>
    new RefusedLocally({ message: "for 10.0.0.3", reason, ...wait })
  const deadline = (sent: boolean) => new DeadlineExceeded({ message: "late", timeout: Duration.seconds(1), sent })
  const unexpected = (status: number) => new UnexpectedResponse({ message: "odd", status, excerpt: "<html>10.0.0.3" })

  const message = "as it was said"
  const cases: ReadonlyArray<readonly [RefreshError, status: number, slug: string | undefined, retryAfter?: string]> = [
    [new InvalidRequest({ message, slug: "account_inactive" }), 400, "account_inactive"],
    [new Unauthorized({ message }), 401, undefined],
    [new Forbidden({ message }), 403, undefined],
    [new AccountNotFound({ message }), 404, undefined],
    [new RateLimited({ message, retryAfter: Duration.millis(1_001) }), 429, undefined, "2"],
    [new RefreshFailed({ message, errors: ["invalid_client"] }), 500, undefined],
    [new RefreshUnsupported({ message }), 501, undefined],
    [new Unavailable({ message, retryAfter: Duration.infinity }), 503, undefined, String(Number.MAX_SAFE_INTEGER)],
    [new Unavailable({ message }), 503, undefined],
    [transport("connect"), 503, "upstream_unavailable"],
    [local("circuit-open", { retryAfter: Duration.seconds(7) }), 503, "upstream_unavailable", "7"],
    [local("queue-full"), 503, "upstream_unavailable"],
    [local("rate-limited", { retryAfter: Duration.seconds(1) }), 503, "upstream_unavailable", "1"],
    [transport("reset"), 500, "upstream_ambiguous"],
    [deadline(false), 503, "upstream_unavailable"],
    [deadline(true), 500, "upstream_ambiguous"],
    [unexpected(418), 503, "upstream_unavailable"],
    [unexpected(502), 500, "upstream_ambiguous"]
  ]

  it.live.each(
    cases.map(([error, status, slug, retryAfter]) => ({
      error,
      status,
      slug,
      retryAfter,
      name: `${error._tag} (${error.disposition})`
    }))
  )("$name is answered with $status", ({ error, retryAfter, slug, status }) =>
    Effect.gen(function* () {
      const url = yield* serve({ refresh: () => Effect.fail(error) })
      const response = yield* call(url + refreshPath, { method: "POST" })
      assert.strictEqual(response.status, status)
      assert.strictEqual(envelope(response).slug, slug)
      assert.strictEqual(response.headers.get("retry-after"), retryAfter ?? null)
      assert.notInclude(response.text, "10.0.0.3")
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )

  it.live("of a read is a 503, unless the answer is outside the contract", () =>
    Effect.gen(function* () {
      const answers: Array<number> = []
      for (const error of [transport("reset"), deadline(true), unexpected(418), unexpected(502)]) {
        const url = yield* serve({ get: () => Effect.fail(error) })
        const response = yield* call(`${url}/api/v3/connected_accounts/${id}`)
        envelope(response)
        answers.push(response.status)
      }
      assert.deepStrictEqual(answers, [503, 503, 500, 500])
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )
})
