/**
 * Servers on a port of this machine.
 *
 * @module
 */
import { ApiKeys, RekindleServer } from "@rekindle/platform"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, type Scope } from "effect"
import { Layer as Layer4, Redacted as Redacted4 } from "effect4"
import { HttpRouter, HttpServer } from "effect4/http"
import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"

/** The API key that Rekindle's server knows. */
export const apiKey = "key-hunter2"

/** The account that Rekindle's server knows. */
export const accountId = "ca_4CkFF_cKATwg"

/** Listens until the scope closes. Returns the server's origin. */
export const listen = (listener: RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(listener)
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    })
  )

/** Serves Rekindle's routes with one account, which gives these answers, until the scope closes. Returns the server's origin. */
export const serve = (...answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const routes = RekindleServer.routes.pipe(
        Layer4.provide([
          ScriptedAccounts.layer([ScriptedAccounts.account({ id: accountId, answers })]),
          ApiKeys.layerStatic([Redacted4.make(apiKey)])
        ])
      )
      return HttpRouter.toWebHandler(Layer4.provide(routes, HttpServer.layerServices), { disableLogger: true })
    }),
    ({ dispose }) => Effect.promise(dispose)
  ).pipe(
    Effect.flatMap(({ handler }) =>
      listen(async (request, response) => {
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
    )
  )
