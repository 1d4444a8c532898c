import { assert, describe, it } from "@effect/vitest"
import { FetchHttpClient, HttpClient, HttpClientError } from "@effect/platform"
import * as Core from "@rekindle/core"
import { ConnectedAccountId, ConnectedAccounts, RekindleClient, Unavailable } from "@rekindle/effect3"
import { ApiKeys, RekindleServer } from "@rekindle/platform"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, Layer, Redacted } from "effect"
import { Layer as Layer4, Redacted as Redacted4 } from "effect4"
import { HttpRouter, HttpServer } from "effect4/http"
import { once } from "node:events"
import { createServer } from "node:http"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** Rekindle's routes on a port of this machine. */
const server = (...answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const routes = RekindleServer.routes.pipe(
        Layer4.provide([
          ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers })]),
          ApiKeys.layerStatic([Redacted4.make("key")])
        ])
      )
      const { dispose, handler } = HttpRouter.toWebHandler(Layer4.provide(routes, HttpServer.layerServices), {
        disableLogger: true
      })
      const listener = createServer(async (request, response) => {
        const { headers, method = "GET", url = "/" } = request
        const chunks: Array<Uint8Array> = []
        for await (const chunk of request) chunks.push(chunk)
        const answer = await handler(
          new Request(`http://127.0.0.1${url}`, {
            method,
            headers: Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]),
            ...(method === "GET" ? {} : { body: Buffer.concat(chunks) })
          })
        )
        response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
      })
      await once(listener.listen(0, "127.0.0.1"), "listening")
      return { listener, dispose }
    }),
    ({ dispose, listener }) =>
      Effect.promise(async () => {
        listener.closeAllConnections()
        listener.close()
        await dispose()
      })
  ).pipe(
    Effect.map(({ listener }) => {
      const address = listener.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    })
  )

const client = (baseUrl: string, key = "key") => RekindleClient.layer({ baseUrl, apiKey: Redacted.make(key) })
const refresh = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))

describe("the client", () => {
  it.scopedLive("refreshes and reads over fetch", () =>
    Effect.gen(function* () {
      const baseUrl = yield* server(new Core.Unavailable({ message: "busy" }), ScriptedAccounts.ready)
      yield* Effect.gen(function* () {
        assert.instanceOf(yield* Effect.flip(refresh), Unavailable)
        assert.deepStrictEqual(yield* refresh, { _tag: "Ready", id })
        const account = yield* (yield* ConnectedAccounts).get(id)
        assert.strictEqual(account.status, "ACTIVE")
      }).pipe(Effect.provide(client(baseUrl)))
    })
  )

  it.scopedLive("goes through the HttpClient that it is given", () =>
    Effect.gen(function* () {
      const baseUrl = yield* server()
      const sent: Array<string> = []
      const transport = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.tapRequest((request) => Effect.sync(() => sent.push(`${request.method} ${request.url}`)))
        )
      ).pipe(Layer.provide(FetchHttpClient.layer))
      assert.deepStrictEqual(yield* Effect.provide(refresh, Layer.provide(client(baseUrl), transport)), {
        _tag: "Ready",
        id
      })
      assert.deepStrictEqual(sent, [`POST ${baseUrl}/api/v3/connected_accounts/${id}/refresh`])
    })
  )

  it.effect("says of a given HttpClient's failure whether the request may have left", () =>
    Effect.gen(function* () {
      const failing = (cause: unknown) =>
        Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request) =>
            Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause }))
          )
        )
      const failure = (cause: unknown) =>
        Effect.flip(Effect.provide(refresh, Layer.provide(client("https://rekindle.test"), failing(cause))))
      const refused = yield* failure(Object.assign(new Error("?"), { code: "ECONNREFUSED", syscall: "connect" }))
      assert.deepInclude(refused, { _tag: "TransportError", reason: "connect", disposition: "not-sent" })
      const reset = yield* failure(Object.assign(new Error("?"), { code: "ECONNRESET", syscall: "read" }))
      assert.deepInclude(reset, { _tag: "TransportError", reason: "reset", disposition: "ambiguous" })
    })
  )

  it.effect("refuses malformed settings without repeating them", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(refresh, client("ftp://user:hunter2@rekindle.test")))
      assert.strictEqual(error._tag, "ConfigError")
      assert.notInclude(String(error), "hunter2")
    })
  )
})
