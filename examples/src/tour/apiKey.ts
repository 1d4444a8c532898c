/**
 * A static credential cannot be renewed. It can be validated, with a real request to its API.
 *
 * @module
 */
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import assert from "node:assert/strict"
import { KeyedApi } from "../support/KeyedApi.ts"
import { step } from "../support/Step.ts"

export const apiKey = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const api = yield* KeyedApi
  yield* connections.authConfigs.register(api.authConfig("weather", "/me"))

  const validate = Effect.fnUntraced(function* (key: Redacted.Redacted) {
    const { id } = yield* connections.create({ authConfigId: "weather", userId: "ada", secrets: { api_key: key } })
    return yield* accounts.refresh(id, { validateCredentials: true })
  })

  yield* step(
    "a valid API key is accepted by its API",
    Effect.gen(function* () {
      assert.equal((yield* validate(api.key))._tag, "Ready")
    })
  )
  yield* step(
    "an invalid API key is rejected, and the account expires",
    Effect.gen(function* () {
      const outcome = yield* validate(Redacted.make("not-the-key"))
      assert.ok(outcome._tag === "NotReady", `expected NotReady, got ${outcome._tag}`)
      assert.equal(outcome.status, "EXPIRED")
      return outcome
    }),
    ({ status }) => `the account is ${status}`
  )
})
