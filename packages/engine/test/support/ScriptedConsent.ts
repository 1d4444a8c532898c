/**
 * Consent on the scripted engine: links, callbacks, and accounts that need consent.
 *
 * @module
 */
import { assert } from "@effect/vitest"
import { type ConnectedAccountId, ConnectedAccounts, Connections, type RefreshOptions } from "@rekindle/core"
import { Consent } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect, Redacted } from "effect"
import { connected, refresh, settle } from "./ScriptedEngine.ts"

/** An account that was never connected. */
export const fresh = Effect.gen(function* () {
  yield* connected()
  const { id } = yield* (yield* Connections).create({ authConfigId: "scripted", userId: "new" })
  return id
})

/** An active account whose credential cannot be renewed. */
export const accessOnly = Effect.gen(function* () {
  yield* connected()
  const { id } = yield* (yield* Connections).create({
    authConfigId: "scripted",
    userId: "u",
    secrets: { access_token: Redacted.make("all there is") }
  })
  return id
})

/** The link in the outcome of a refresh. */
export const link = (id: ConnectedAccountId, options?: RefreshOptions) =>
  Effect.flatMap(refresh(id, options), (outcome) =>
    outcome._tag === "RedirectRequired" ? Effect.succeed(new URL(outcome.redirectUrl)) : assert.fail(outcome._tag)
  )

/** The parameters of a callback for a link. */
export const callback = (url: URL, parameters: Readonly<Record<string, string>>) =>
  new URLSearchParams({ state: url.searchParams.get("state") ?? "", ...parameters })

/** Passes a callback to the engine. */
export const complete = (parameters: URLSearchParams) =>
  Effect.flatMap(Consent, (consent) => settle(consent.complete(parameters)))

/** A person gives consent. */
export const consents = Effect.fnUntraced(function* (url: URL) {
  const provider = yield* ScriptedProvider.ScriptedProvider
  return yield* complete(callback(url, { code: yield* provider.authorize }))
})

/** The status that others see. */
export const statusOf = (id: ConnectedAccountId) =>
  Effect.flatMap(ConnectedAccounts, (accounts) => Effect.map(accounts.get(id), ({ status }) => status))
