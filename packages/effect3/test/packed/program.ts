/**
 * A program of somebody who has installed `effect` 3 and `@rekindle/effect3`, and nothing else. `check.ts` compiles and runs it.
 *
 * @module
 */
import {
  AccountNotFound,
  ConnectedAccountId,
  ConnectedAccounts,
  Connections,
  RekindleClient,
  withRefresh,
  type Unavailable
} from "@rekindle/effect3"
import * as RekindleEngine from "@rekindle/effect3/RekindleEngine"
import { ScriptedAccounts } from "@rekindle/effect3/Testing"
import { Chunk, Effect, Either, Redacted, Stream } from "effect"

declare const process: { readonly argv: ReadonlyArray<string> }
const [, , baseUrl = "", apiKey = "", id = ""] = process.argv

const check = (holds: boolean, what: string) => (holds ? Effect.void : Effect.dieMessage(what))

const overHttp = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const account = ConnectedAccountId.make(id)
  const busy: Unavailable["disposition"] | "Ready" = yield* accounts.refresh(account).pipe(
    Effect.map(() => "Ready" as const),
    Effect.catchTag("Unavailable", ({ disposition }) => Effect.succeed(disposition))
  )
  yield* check(busy === "rejected", "the first answer of the server is a 503")
  const outcome = yield* accounts.refresh(account)
  yield* check(outcome._tag === "Ready", "the second answer of the server is the outcome")
  const unknown = yield* Effect.either(accounts.get(ConnectedAccountId.make("ca_another1")))
  yield* check(Either.isLeft(unknown) && unknown.left instanceof AccountNotFound, "the server knows no other account")
}).pipe(Effect.provide(RekindleClient.layer({ baseUrl, apiKey: Redacted.make(apiKey) })))

const byScript = Effect.gen(function* () {
  const outcome = yield* (yield* ConnectedAccounts).refresh(ConnectedAccountId.make(id))
  yield* check(outcome._tag === "RedirectRequired", "the script answers with its link")
}).pipe(
  Effect.provide(
    ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers: [ScriptedAccounts.redirectRequired()] })])
  )
)

const byEngine = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.authConfigs.register({
    id: "mailer",
    toolkit: "mailer",
    scheme: "API_KEY",
    hosts: ["api.example.com"],
    settings: { keyHeader: "x-key" }
  })
  const secrets = { api_key: Redacted.make("key-1") }
  const { id } = yield* connections.create({ authConfigId: "mailer", userId: "ada", secrets })
  const url = "https://api.example.com/messages"
  const { headers } = yield* withRefresh(id, connections.authorization(id, { method: "GET", url }))
  yield* check(Object.values(headers).map(Redacted.value).join() === "key-1", "the engine hands the key out")
  const events = yield* Stream.runCollect(connections.events({ follow: false }))
  yield* check(Chunk.isEmpty(events), "nothing has happened to the account")
}).pipe(Effect.provide(RekindleEngine.layerSqlite(":memory:", { callbackUrl: "https://app.example.com/callback" })))

await Effect.runPromise(Effect.all([overHttp, byScript, byEngine]))
