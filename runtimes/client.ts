/**
 * Checks what runs in every runtime with `fetch`: the client, the server routes and the testing package.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Unavailable } from "@rekindle/core"
import { ApiKeys, RekindleClient, RekindleServer } from "@rekindle/platform"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect, Layer, Redacted } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const apiKey = Redacted.make("key")

/** Server routes with one account that is busy once and then ready. */
export const routes = RekindleServer.routes.pipe(
  Layer.provide([
    ScriptedAccounts.layer([
      ScriptedAccounts.account({ id, answers: [new Unavailable({ message: "busy" }), ScriptedAccounts.ready] })
    ]),
    ApiKeys.layerStatic([apiKey])
  ])
)

const ask = (baseUrl: string, fetch: typeof globalThis.fetch) =>
  ConnectedAccounts.use((accounts) =>
    Effect.all([
      Effect.map(Effect.flip(accounts.refresh(id)), ({ _tag }) => _tag),
      Effect.map(accounts.refresh(id), ({ _tag }) => _tag),
      Effect.map(accounts.get(id), ({ status }) => status),
      Effect.map(Effect.flip(accounts.get(ConnectedAccountId.make("ca_unknown_0000"))), ({ _tag }) => _tag)
    ])
  ).pipe(
    Effect.provide(RekindleClient.layer({ baseUrl, apiKey }).pipe(Layer.provide(FetchHttpClient.layer))),
    Effect.provideService(FetchHttpClient.Fetch, fetch),
    Effect.runPromise
  )

/** Calls a server of {@link routes} at `origin`, then one in this runtime. Throws if an answer is unexpected. */
export const check = async (origin: string): Promise<void> => {
  const local = HttpRouter.toWebHandler(Layer.provide(routes, HttpServer.layerServices), { disableLogger: true })
  const localFetch: typeof fetch = (input, init) => local.handler(new Request(input, init))
  for (const [baseUrl, fetch] of [
    [origin, globalThis.fetch.bind(globalThis)],
    ["http://localhost", localFetch]
  ] as const) {
    const answers = (await ask(baseUrl, fetch)).join()
    if (answers !== "Unavailable,Ready,ACTIVE,AccountNotFound") throw new Error(`${baseUrl} answered ${answers}`)
  }
  await local.dispose()
}
