/**
 * A whole program: an engine, the standard policies around it, and a caller that depends on neither. It needs no network: a new account has no
 * credential yet, so its refresh returns the link where its owner consents.
 *
 * @module
 */
import { ConnectedAccounts, Connections, RefreshOutcome, Resilience } from "@rekindle/core"
import { CredentialVault, Engine, Providers } from "@rekindle/engine"
import { Console, Effect, Layer } from "effect"
import assert from "node:assert/strict"
import { step } from "./support/Step.ts"

const Accounts = Resilience.layer(Resilience.standard()).pipe(
  Layer.provideMerge(Engine.layerSqlite(":memory:", { consent: { callbackUrl: "https://app.example.com/callback" } })),
  Layer.provide(CredentialVault.layerEphemeral)
)

const program = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.authConfigs.register(
    Providers.spotify.authConfig({ id: "music", clientId: "my-app", clientSecret: "my-secret" })
  )
  const { id } = yield* connections.create({ authConfigId: "music", userId: "ada" })

  const outcome = yield* ConnectedAccounts.use((accounts) => accounts.refresh(id))
  return RefreshOutcome.match(outcome, {
    Ready: () => "go on",
    RedirectRequired: ({ redirectUrl }) => `ask the user to visit ${redirectUrl}`,
    NotReady: ({ status }) => `not usable: ${status}`
  })
})

export const example = step(
  "engine, pipeline and caller compose; a new account is asked to consent",
  Effect.gen(function* () {
    const advice = yield* program
    yield* Console.log(`  ${advice.slice(0, 76)}…`)
    assert.match(advice, /^ask the user to visit https:\/\/accounts\.spotify\.com\//)
  })
).pipe(Effect.provide(Accounts))
