/**
 * `awaitActive` shows the link to consent, and polls until the account is ACTIVE.
 *
 * @module
 */
import { Connections, Resilience } from "@rekindle/core"
import { Console, Effect } from "effect"
import assert from "node:assert/strict"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { consent } from "./support/Person.ts"
import { layer } from "./support/Service.ts"
import { step } from "./support/Step.ts"

export const example = Effect.gen(function* () {
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  yield* connections.authConfigs.register(provider.authConfig())
  const { id } = yield* connections.create({ authConfigId: "calendar", userId: "ada" })

  /** A program shows the link here. The person consents after a moment. */
  const show = (link: string) =>
    Effect.andThen(
      Console.log("  please open the link to connect your calendar …"),
      Effect.forkScoped(Effect.delay(consent(link, "ada"), "150 millis"))
    )

  yield* step(
    "the link was shown, the person consented, and the wait ended with the account ACTIVE",
    Effect.gen(function* () {
      const account = yield* Resilience.awaitActive(id, {
        onRedirect: show,
        pollEvery: "50 millis",
        linkLifetime: "20 seconds"
      })
      assert.equal(account.status, "ACTIVE")
    })
  )
}).pipe(Effect.scoped, Effect.provide(layer()))
