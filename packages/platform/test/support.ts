/**
 * A real server on a free loopback port, over whatever `ConnectedAccounts` a test has in mind.
 *
 * @module
 */
import { ConnectedAccount, ConnectedAccountId, ConnectedAccounts, type Connections, Ready } from "@rekindle/core"
import {
  ApiKeys,
  ConnectLinks,
  ConsentCallback,
  RekindleServer,
  Toolkits,
  WebhookSubscriptions
} from "@rekindle/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Redacted, Schema } from "effect"
import { type HttpPlatform, HttpRouter, HttpServer } from "effect/http"
import { createServer, request, type RequestListener, type RequestOptions } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { buffer, text } from "node:stream/consumers"
import { assert } from "vitest"
import { faultOf } from "./published/published.ts"

export type Accounts = ConnectedAccounts["Service"]

export const apiKey = "rk_test_0123456789"

export const id = ConnectedAccountId.make("con_1a2b3c4d5e6f")

export const account = Schema.decodeUnknownSync(ConnectedAccount)({
  id,
  status: "ACTIVE",
  status_reason: null,
  toolkit: { slug: "gmail" },
  auth_config: { id: "ac_1", is_composio_managed: false, is_disabled: false },
  user_id: "user_1",
  is_disabled: false,
  created_at: "2026-10-01T00:00:00.000Z",
  updated_at: "2026-10-02T00:00:00.000Z",
  state: { authScheme: "OAUTH2", val: { access_token: "ya29…", status: "ACTIVE" } }
})

/** Accounts that are always fine, save for what a test says. */
export const accountsWith = (accounts: Partial<Accounts> = {}): Accounts => ({
  refresh: (id) => Effect.succeed(Ready.make({ id })),
  get: () => Effect.succeed(account),
  ...accounts
})

/** What a test may serve beside the routes of the contract. */
type Extra = Layer.Layer<
  never,
  never,
  | HttpRouter.HttpRouter
  | HttpPlatform.HttpPlatform
  | HttpRouter.Request<"Requires", ConsentCallback.ConsentCallbackPrivacy>
  | HttpRouter.Request<"Error", unknown>
>

const staticKeys = ApiKeys.layerStatic([Redacted.make("rk_other"), Redacted.make(`${apiKey}\n`)], {
  projectId: "project_1"
})

/** Serves `accounts` within the scope and gives the base URL. */
export const serve = (
  accounts: Partial<Accounts> = {},
  extra: Extra = Layer.empty,
  routes = RekindleServer.routes,
  keys = staticKeys
) =>
  Effect.gen(function* () {
    const all = Layer.merge(routes, extra).pipe(
      Layer.provide([Layer.succeed(ConnectedAccounts, accountsWith(accounts)), keys])
    )
    const context = yield* Layer.build(
      HttpRouter.serve(all, { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provide(ConsentCallback.layerRedacted),
        Layer.provideMerge(
          NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
        )
      )
    )
    return HttpServer.formatAddress((yield* HttpServer.HttpServer.pipe(Effect.provideContext(context))).address)
  })

/** No catalogue: what is tested here needs none. */
const toolkits = Layer.succeed(Toolkits, {
  list: Effect.succeed([]),
  get: () => Effect.succeedNone,
  authConfig: () => Effect.die("not in this test"),
  changes: () => Effect.die("not in this test")
})

/** No webhooks, likewise. */
const webhooks = Layer.mock(WebhookSubscriptions, {})

/** Serves the whole surface for the `Connections` and `ConnectedAccounts` of the context, and gives the base URL. */
export const serveConnections = Effect.fnUntraced(function* (
  keys: Layer.Layer<ApiKeys> = ApiKeys.layerStatic([Redacted.make(apiKey)])
) {
  const services = Layer.succeedContext(yield* Effect.context<Connections | ConnectedAccounts>())
  const context = yield* Layer.build(
    HttpRouter.serve(RekindleServer.serviceWith({ docs: false }), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide([ConnectLinks.layerDirect, toolkits, webhooks, keys]),
      Layer.provide(services),
      Layer.provideMerge(
        NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
      )
    )
  )
  return HttpServer.formatAddress((yield* HttpServer.HttpServer.pipe(Effect.provideContext(context))).address)
})

/** A server that is none of ours: answers whatever a test wants a client to meet. */
export const impostor = (listener: RequestListener) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createServer>>((resume) => {
        const server = createServer(listener)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

/** Where nobody listens: a port that only root could open. A port just closed may be somebody else's by now. */
export const nobody = "http://127.0.0.1:2"

/** One request that `fetch` cannot make, or whose answer has what no published form has: its target as it is, its body in chunks. */
export const callUnheld = (url: string, options: RequestOptions, chunks: ReadonlyArray<string> = []) =>
  Effect.promise(
    () =>
      new Promise<{ status: number; headers: Headers; text: string; bytes: Buffer }>((resolve, reject) => {
        const call = request(url, { ...options, headers: { "x-api-key": apiKey, ...options.headers } })
        call.on("error", reject)
        call.on("response", (response) => {
          const status = response.statusCode ?? 0
          const headers = new Headers(response.headers as Record<string, string>)
          buffer(response).then((bytes) => resolve({ status, headers, text: bytes.toString(), bytes }), reject)
        })
        for (const chunk of chunks) call.write(chunk)
        call.end()
      })
  )

/** {@link callUnheld}, of which the answer has to be as it is published. */
export const callRaw = (url: string, options: RequestOptions, chunks: ReadonlyArray<string> = []) =>
  Effect.tap(callUnheld(url, options, chunks), ({ status, text }) =>
    Effect.sync(() => {
      const { method = "GET", path } = options
      assert.strictEqual(faultOf({ method, url: typeof path === "string" ? path : url, status, body: text }), "")
    })
  )

/** Sends the bytes and then nothing, and gives what comes back until the other side hangs up. */
export const exchange = (url: string, bytes: string) =>
  Effect.promise(async () => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write(bytes)
    const answer = await text(socket)
    socket.destroy()
    return answer
  })

/** One request, as any HTTP client would send it. */
export const call = (url: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, {
      redirect: "manual",
      ...init,
      headers: { "x-api-key": apiKey, ...init.headers }
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })
