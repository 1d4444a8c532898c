/** An HTTP client that carries an account's credential: to the API, renewed once when it is refused, and nowhere else. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccountId, Connections } from "@rekindle/core"
import { ScriptedAccounts, ScriptedConnections } from "@rekindle/testing"
import { Effect, Layer, Redacted, Stream, Tracer } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { createServer, type Server } from "node:http"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const api = "https://api.test"

const config = AuthConfig.make({
  id: "ac",
  toolkit: "t",
  scheme: "OAUTH2",
  hosts: ["login.test"],
  apiHosts: ["api.test"]
})

/** An API that accepts the tokens that it is told to, and what it was asked. */
const makeApi = (accepts: (authorization: string) => boolean) => {
  const asked: Array<{ readonly url: string; readonly authorization: string; readonly body: string }> = []
  const client = HttpClient.make((request, url) => {
    const authorization = request.headers["authorization"] ?? ""
    const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : request.body._tag
    asked.push({ url: url.href, authorization, body })
    return Effect.succeed(
      HttpClientResponse.fromWeb(request, new Response("answer", { status: accepts(authorization) ? 200 : 401 }))
    )
  })
  return { asked, client }
}

const accountWith = (fields: Partial<Parameters<typeof ScriptedAccounts.account>[0]> = {}) =>
  ScriptedConnections.layer({
    authConfigs: [config],
    accounts: [ScriptedAccounts.account({ id, authConfig: { id: "ac" }, ...fields })]
  })

const refreshes = Effect.map(
  Effect.flatMap(ScriptedAccounts.ScriptedAccounts, ({ callsFor }) => callsFor(id)),
  (calls) => calls.map(({ options, operation }) => ({ operation, tokenRefused: options?.tokenRefused }))
)

const first = `Bearer token-1-of-${id}`
const second = `Bearer token-2-of-${id}`

describe("a client that carries an account's credential", () => {
  it.effect("sends what works, and sends again with a renewed one what was refused", () =>
    Effect.gen(function* () {
      const { asked, client } = makeApi((authorization) => authorization === second)
      const gmail = Connections.authorize(client, id)
      const response = yield* gmail.post(`${api}/send?x=1`, { body: HttpBody.text("hello") })
      assert.deepStrictEqual([response.status, yield* response.text], [200, "answer"])
      assert.deepStrictEqual(
        asked,
        [first, second].map((authorization) => ({ url: `${api}/send?x=1`, authorization, body: "hello" }))
      )
      assert.deepStrictEqual(yield* refreshes, [{ operation: "refresh", tokenRefused: true }])
      assert.strictEqual((yield* gmail.get(`${api}/me`)).status, 200)
      assert.lengthOf(yield* refreshes, 1)
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("renews once for all whose token was refused at the same time", () =>
    Effect.gen(function* () {
      const { client } = makeApi((authorization) => authorization === second)
      const gmail = client.pipe(Connections.authorize(id))
      const responses = yield* Effect.all(
        Array.from({ length: 20 }, (_, index) => gmail.get(`${api}/${index}`)),
        { concurrency: "unbounded" }
      )
      assert.isTrue(responses.every(({ status }) => status === 200))
      assert.lengthOf(yield* refreshes, 1)
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("hands on a second refusal as the API's answer", () =>
    Effect.gen(function* () {
      const { asked, client } = makeApi(() => false)
      const response = yield* Connections.authorize(client, id).get(`${api}/me`)
      assert.deepStrictEqual([response.status, yield* response.text], [401, "answer"])
      assert.lengthOf(asked, 2)
      assert.lengthOf(yield* refreshes, 1)
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("gives the link each time where a person has to consent, and sends nothing", () =>
    Effect.gen(function* () {
      const { asked, client } = makeApi(() => true)
      for (let time = 0; time < 3; time++) {
        const error = yield* Effect.flip(Connections.authorize(client, id).get(`${api}/me`))
        assert.strictEqual(error._tag === "ConsentRequired" && error.redirectUrl, `https://consent.test/${id}`)
      }
      assert.lengthOf(asked, 0)
      yield* (yield* ScriptedConnections.ScriptedConnections).consentTo(id)
      assert.strictEqual((yield* Connections.authorize(client, id).get(`${api}/me`)).status, 200)
    }).pipe(Effect.provide(accountWith({ status: "EXPIRED" })))
  )

  it.effect("does not send a stream twice, and has a working token for the next request", () =>
    Effect.gen(function* () {
      const { asked, client } = makeApi((authorization) => authorization === second)
      const drive = Connections.authorize(client, id)
      const upload = drive.put(`${api}/file`, { body: HttpBody.stream(Stream.make(new Uint8Array([1]))) })
      const response = yield* upload
      assert.deepStrictEqual([response.status, yield* response.text], [401, "answer"])
      assert.lengthOf(asked, 1)
      assert.strictEqual((yield* upload).status, 200)
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("keeps to the API's hosts, whatever is done to the request before", () =>
    Effect.gen(function* () {
      const { asked, client } = makeApi(() => true)
      const elsewhere = Connections.authorize(client, id)
      for (const url of [
        "https://login.test/",
        "https://elsewhere.test/",
        "http://api.test/",
        "https://api.test.evil.test/"
      ]) {
        const error = yield* Effect.flip(elsewhere.get(url))
        assert.strictEqual("slug" in error && error.slug, "host_not_declared", url)
      }
      const rewrites = HttpClient.mapRequest(HttpClientRequest.prependUrl("https://elsewhere.test"))
      for (const rewritten of [rewrites(elsewhere), Connections.authorize(rewrites(client), id)])
        assert.strictEqual((yield* Effect.flip(rewritten.get("/me")))._tag, "InvalidRequest")
      assert.deepStrictEqual(asked, [])
      const based = HttpClient.mapRequest(client, HttpClientRequest.prependUrl(api)).pipe(Connections.authorize(id))
      assert.strictEqual((yield* based.get("/me", { urlParams: { q: "1" } })).status, 200)
      assert.deepStrictEqual(asked, [{ url: `${api}/me?q=1`, authorization: first, body: "Empty" }])
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("asks for another proof where the API wants its nonce in it, and keeps the nonce", () =>
    Effect.gen(function* () {
      const nonces: Array<string | undefined> = []
      const connections = yield* Connections
      const client = HttpClient.make((request) => {
        const proof = request.headers["dpop"]
        const headers = { "www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n-1" }
        return Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            proof === "proof n-1" ? new Response("ok") : new Response("", { status: 401, headers })
          )
        )
      })
      const signing = Connections.of({
        ...connections,
        authorization: (_, { dpopNonce }) => {
          nonces.push(dpopNonce)
          return Effect.succeed({ headers: { dpop: Redacted.make(`proof ${dpopNonce}`) }, parameters: {} })
        }
      })
      const api = Connections.authorize(client, id)
      for (let time = 0; time < 2; time++)
        assert.strictEqual(
          (yield* api.get("https://api.test/").pipe(Effect.provideService(Connections, signing))).status,
          200
        )
      assert.deepStrictEqual(nonces, [undefined, "n-1", "n-1"])
      assert.deepStrictEqual(yield* refreshes, [])
    }).pipe(Effect.provide(accountWith()))
  )

  it.effect("shows no credential in spans and errors, wherever the API wants it", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const control = yield* ScriptedConnections.ScriptedConnections
      const key = Redacted.make("s3cret-key")
      const refuses = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response("", { status: 404 })))
      ).pipe(HttpClient.filterStatusOk)
      for (const placement of [
        { in: "header", name: "x-own-key", prefix: "" },
        { in: "query", name: "own_key" }
      ] as const) {
        yield* control.setCredential(id, { _tag: "ApiKey", key, placement })
        const error = yield* Effect.flip(Connections.authorize(refuses, id).get(`${api}/me`)).pipe(
          Effect.withTracer(tracer)
        )
        assert.strictEqual(error._tag, "HttpClientError")
        for (const text of [JSON.stringify(error), String(error), error.message]) assert.notInclude(text, "s3cret-key")
      }
      assert.isAtLeast(spans.length, 2)
      for (const span of spans) {
        const shown = JSON.stringify([span.name, ...span.attributes])
        assert.notInclude(shown, "s3cret-key")
      }
    }).pipe(Effect.provide(accountWith()))
  )

  const listening = (server: Server) =>
    Effect.acquireRelease(
      Effect.callback<number>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      }),
      () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
    )

  it.live("does not take the credential along a redirect", () =>
    Effect.gen(function* () {
      let visited = 0
      const thief = yield* listening(createServer((_, response) => void (visited++, response.end())))
      const port = yield* listening(
        createServer((_, response) => response.writeHead(302, { location: `http://127.0.0.1:${thief}/` }).end())
      )
      const address = `http://127.0.0.1:${port}`
      yield* (yield* Connections).authConfigs.register({ ...config, apiHosts: [address] })
      const connections = yield* Connections
      const real = Connections.of({
        ...connections,
        authorization: () => Effect.succeed({ headers: { "x-key": Redacted.make("s3cret") }, parameters: {} })
      })
      const client = Connections.authorize(yield* HttpClient.HttpClient, id)
      const response = yield* Effect.provideService(client.get(`${address}/me`), Connections, real)
      assert.strictEqual(response.status, 302)
      assert.strictEqual(visited, 0)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(accountWith(), FetchHttpClient.layer)))
  )
})

describe("an address is the API's", () => {
  const cases: ReadonlyArray<readonly [apiHost: string, address: string, expected: boolean]> = [
    ["api.test", "https://api.test/a?b", true],
    ["api.test", "https://API.test:443/", true],
    ["api.test", "https://api.test:444/", false],
    ["api.test:444", "https://api.test:444/", true],
    ["api.test", "http://api.test/", false],
    ["api.test", "https://user:pass@api.test/", false],
    ["api.test", "https://xapi.test/", false],
    ["api.test", "ftp://api.test/", false],
    ["*.api.test", "https://eu.api.test/", true],
    ["*.api.test", "https://a.eu.api.test/", true],
    ["*.api.test", "https://api.test/", false],
    ["*.api.test", "https://evilapi.test/", false],
    ["*.api.test", "http://eu.api.test/", false],
    ["*.api.test", "https://eu.api.test:8443/", false],
    ["{instance_url}", "https://acme.api.test/x", true],
    ["{instance_url}", "https://other.api.test/x", false],
    ["{bare}", "https://bare.api.test/", true],
    ["{plain}", "http://plain.api.test/", false],
    ["{missing}", "https://acme.api.test/", false],
    ["http://127.0.0.1:3000", "http://127.0.0.1:3000/x", true],
    ["http://127.0.0.1:3000", "http://127.0.0.1:3001/x", false],
    ["münchen.test", "https://xn--mnchen-3ya.test/", true]
  ]
  const attributes = {
    instance_url: "https://acme.api.test",
    bare: "bare.api.test",
    plain: "http://plain.api.test"
  }
  for (const [apiHost, address, expected] of cases) {
    it(`${apiHost} ${expected ? "covers" : "does not cover"} ${address}`, () => {
      assert.strictEqual(Connections.isApiAddress({ apiHosts: [apiHost], hosts: [] }, attributes, address), expected)
    })
  }
})
