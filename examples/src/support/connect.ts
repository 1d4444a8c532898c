/**
 * Connects an account as in real use: with a link, and a person who consents.
 *
 * @module
 */
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { Effect } from "effect"
import { AuthorizationServer } from "./AuthorizationServer.ts"
import { consent } from "./Person.ts"

/** Connects an account of `person` at the authorization server, and returns its id. */
export const connect = Effect.fnUntraced(function* (person: string) {
  const connections = yield* Connections
  const accounts = yield* ConnectedAccounts
  const provider = yield* AuthorizationServer
  yield* connections.authConfigs.register(provider.authConfig())
  const { id } = yield* connections.create({ authConfigId: "calendar", userId: person })
  const outcome = yield* accounts.refresh(id)
  if (outcome._tag === "RedirectRequired") yield* consent(outcome.redirectUrl, person)
  return id
})
