/**
 * A program of somebody who has installed `effect` 3 and `@rekindle/effect3`, and nothing else. `check.ts` compiles and runs it.
 *
 * @module
 */
import {
  AccountNotFound,
  ConnectedAccountId,
  ConnectedAccounts,
  RekindleClient,
  type Unavailable
} from "@rekindle/effect3"
import { ScriptedAccounts } from "@rekindle/effect3/Testing"
import { Effect, Either, Redacted } from "effect"

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

await Effect.runPromise(Effect.all([overHttp, byScript]))
