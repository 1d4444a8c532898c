/**
 * One account at an authorization server that rotates refresh tokens. It is connected, renewed, refreshed by 50 callers at once, revoked, and
 * connected again.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, Connections, type RefreshOptions } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import assert from "node:assert/strict"
import { AuthorizationServer } from "../support/AuthorizationServer.ts"
import { consent } from "../support/Person.ts"
import { Service } from "../support/Service.ts"
import { step } from "../support/Step.ts"

const person = "ada"

/** Refreshes, follows the link as a person does, and returns the account. */
const refreshAndConsent = Effect.fnUntraced(function* (id: ConnectedAccountId, options?: RefreshOptions) {
  const accounts = yield* ConnectedAccounts
  const outcome = yield* accounts.refresh(id, options)
  assert.ok(outcome._tag === "RedirectRequired", `expected a link, got ${outcome._tag}`)
  assert.equal((yield* accounts.get(id)).status, "INITIATED")
  const page = yield* consent(outcome.redirectUrl, person)
  assert.ok(page.text.includes("Connected"), `the callback answered ${page.status}: ${page.text}`)
  const account = yield* accounts.get(id)
  assert.equal(account.status, "ACTIVE")
  return account
})

/** Returns the id of the connected account. */
export const oauth = Effect.gen(function* () {
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const provider = yield* AuthorizationServer
  const service = yield* Service
  yield* connections.authConfigs.register(provider.authConfig())
  const { id } = yield* connections.create({ authConfigId: "calendar", userId: person })

  yield* step(
    "a new account: refresh answers a link, consent completes at our callback",
    refreshAndConsent(id),
    ({ status }) => `${id} is ${status}`
  )

  yield* step(
    "refresh renews silently: the access token changed, and the provider's userinfo endpoint takes it",
    Effect.gen(function* () {
      const before = yield* connections.accessToken(id)
      assert.equal((yield* accounts.refresh(id))._tag, "Ready")
      const after = yield* connections.accessToken(id)
      assert.notEqual(Redacted.value(after), Redacted.value(before))
      const status = yield* provider.userinfo(after)
      assert.equal(status, 200)
      return status
    }),
    (status) => `userinfo answered ${status}`
  )

  yield* step(
    "50 refreshes at once spend one grant, and all of them are answered",
    Effect.gen(function* () {
      const before = provider.spent()
      const crowd = Array.from({ length: 50 }, () => accounts.refresh(id))
      const expected = service.arrived() + crowd.length
      // The provider answers once all of them have arrived. A refresh that came later could renew again.
      const outcomes = yield* provider.slowly(
        () => service.arrived() === expected,
        Effect.all(crowd, { concurrency: "unbounded" })
      )
      assert.ok(outcomes.every((outcome) => outcome._tag === "Ready"))
      const spent = provider.spent() - before
      assert.equal(spent, 1)
      assert.equal(yield* provider.userinfo(yield* connections.accessToken(id)), 200)
      return spent
    }),
    (spent) => `the provider counted ${spent}`
  )

  yield* step(
    "the grant is revoked at the provider: refresh answers a link, and consent brings the same account back",
    Effect.gen(function* () {
      yield* provider.revoke(person)
      // The access token went with the grant, which only its refusal tells.
      assert.equal(yield* provider.userinfo(yield* connections.accessToken(id)), 401)
      const account = yield* refreshAndConsent(id, { tokenRefused: true })
      assert.equal(account.id, id)
      assert.equal(yield* provider.userinfo(yield* connections.accessToken(id)), 200)
      return account
    }),
    ({ status }) => `${id} is ${status}`
  )
  return id
})
