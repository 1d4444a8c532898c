import { assert, describe, layer } from "@effect/vitest"
import { ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { AuthorizationServer } from "./support/AuthorizationServer.ts"
import { completeConsent, connected, withServer } from "./support/TestEngine.ts"

describe("the engine", () => {
  layer(withServer(), { excludeTestServices: true })("against a server that rotates", (it) => {
    it.effect("renews silently, and the new access token works", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        yield* connections.authConfigs.register(server.authConfig())
        const { id } = yield* connected("oidc")
        const outcome = yield* accounts.refresh(id)
        assert.strictEqual(outcome._tag, "Ready")
        const token = yield* connections.accessToken(id)
        assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(token)))
        const again = yield* accounts.refresh(id)
        assert.strictEqual(again._tag, "Ready")
        assert.notStrictEqual(Redacted.value(yield* connections.accessToken(id)), Redacted.value(token))
      })
    )

    it.effect("fifty concurrent refreshes spend one grant", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        yield* connections.authConfigs.register(server.authConfig())
        const { id } = yield* connected("oidc")
        const before = server.tally().spent
        const outcomes = yield* Effect.forEach(Array.from({ length: 50 }), () => accounts.refresh(id), {
          concurrency: "unbounded"
        })
        assert.isTrue(outcomes.every((outcome) => outcome._tag === "Ready"))
        assert.strictEqual(server.tally().spent - before, 1)
      })
    )

    it.effect("another project's account is not found", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        const mine = Effect.provideService(CurrentProject, "mine")
        yield* mine(connections.authConfigs.register(server.authConfig({ projectId: "mine" })))
        const { id } = yield* mine(connected("oidc"))
        const read = (project: string) =>
          Effect.result(Effect.provideService(accounts.get(id), CurrentProject, project))
        assert.strictEqual((yield* read("mine"))._tag, "Success")
        const theirs = yield* Effect.flip(Effect.provideService(accounts.refresh(id), CurrentProject, "theirs"))
        assert.strictEqual(theirs._tag, "AccountNotFound")
        assert.strictEqual((yield* read("theirs"))._tag, "Failure")
      })
    )

    it.effect("a revoked grant leads to consent, and consent to the same account", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        yield* connections.authConfigs.register(server.authConfig())
        const { grantId, id } = yield* connected("oidc", { expired: true })
        yield* server.revokeGrant(grantId)
        const outcome = yield* accounts.refresh(id, { redirectUrl: "https://app.example.com/done" })
        if (outcome._tag !== "RedirectRequired") return assert.fail(outcome._tag)
        assert.strictEqual(outcome.status, "INITIATED")
        assert.strictEqual((yield* accounts.get(id)).status, "INITIATED")
        const result = yield* completeConsent(outcome.redirectUrl)
        assert.deepStrictEqual(
          { ...result },
          {
            accountId: id,
            status: "ACTIVE",
            redirectUrl: "https://app.example.com/done",
            failure: undefined
          }
        )
        assert.strictEqual((yield* accounts.get(id)).status, "ACTIVE")
        assert.strictEqual((yield* accounts.refresh(id))._tag, "Ready")
      })
    )
  })
})
