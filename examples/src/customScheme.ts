/**
 * A scheme of your own: an API that exchanges a PIN for a session. The strategy names the secret and sends the request. The engine adds leases,
 * retries and sealing, and judges the answer.
 *
 * @module
 */
import { AuthConfig, ConnectedAccounts, Connections, CustomAuthScheme } from "@rekindle/core"
import { type AuthStrategy, Credential, CredentialVault, Egress, Engine } from "@rekindle/engine"
import { Effect, Layer, Redacted } from "effect"
import assert from "node:assert/strict"
import { listen } from "./support/listen.ts"
import { step } from "./support/Step.ts"

const scheme = CustomAuthScheme.make("PIN_SESSION")

const pinSession = Effect.map(Egress, (egress): AuthStrategy => ({
  scheme,
  check: () => Effect.succeed([]),
  renewal: {
    // A PIN is not consumed, so it may be sent again.
    rotation: "none",
    spends: ({ credential }) => credential.secrets["pin"],
    send: ({ config, credential }) =>
      egress.send(config.hosts, {
        method: "POST",
        url: String(config.settings["sessionUrl"]),
        headers: { "x-pin": Credential.secret(credential, "pin") ?? "" }
      })
  }
}))

const Accounts = Engine.layerSqlite(":memory:", {
  strategies: [pinSession],
  consent: { callbackUrl: "https://app.example.com/callback" },
  egress: { privateHosts: ["*"] }
}).pipe(Layer.provide(CredentialVault.layerEphemeral))

export const example = Effect.gen(function* () {
  const { host, http, origin } = yield* listen
  http.on("request", ({ headers }, response) =>
    headers["x-pin"] === "1234"
      ? response.end(JSON.stringify({ access_token: "session-1", token_type: "bearer", expires_in: 600 }))
      : response.writeHead(400).end(JSON.stringify({ error: "invalid_grant" }))
  )
  const accounts = yield* ConnectedAccounts
  const connections = yield* Connections
  const settings = { sessionUrl: `${origin}/session` }
  yield* connections.authConfigs.register(
    AuthConfig.make({ id: "bank", toolkit: "bank", scheme, settings, hosts: [host] })
  )
  const account = (pin: string) =>
    connections.create({ authConfigId: "bank", userId: "ada", secrets: { pin: Redacted.make(pin) } })

  yield* step(
    "the engine renews an account of a custom scheme",
    Effect.gen(function* () {
      const { id } = yield* account("1234")
      assert.equal((yield* accounts.refresh(id))._tag, "Ready")
      assert.equal(Redacted.value(yield* connections.accessToken(id)), "session-1")
    })
  )
  yield* step(
    "a refusal of the API marks the credential as dead",
    Effect.gen(function* () {
      const { id } = yield* account("9999")
      assert.equal((yield* accounts.refresh(id))._tag, "NotReady")
      assert.equal((yield* accounts.get(id)).status, "EXPIRED")
    })
  )
}).pipe(Effect.scoped, Effect.provide(Accounts))
