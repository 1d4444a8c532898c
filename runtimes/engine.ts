/**
 * Checks the whole engine on a SQLite file: a renewal over HTTP, its token, and the shutdown of the engine. Then checks the client.
 *
 * @module
 */
import { AuthConfig, ConnectedAccounts, Connections, ProviderProfile } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { DateTime, Effect, Layer, Redacted } from "effect"
import assert from "node:assert/strict"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { check } from "./client.ts"

const [origin = ""] = process.argv.slice(2)

const folder = await mkdtemp(join(tmpdir(), "rekindle-runtimes-"))
const bodies: Array<string> = []
const provider = createServer((request, response) => {
  let body = ""
  request.on("data", (chunk) => (body += String(chunk)))
  request.on("end", () => {
    bodies.push(body)
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify({ access_token: "new", refresh_token: "next", token_type: "Bearer", expires_in: 3600 }))
  })
})
await once(provider.listen(0, "127.0.0.1"), "listening")
const address = provider.address()
assert.ok(typeof address === "object" && address !== null)
const host = `127.0.0.1:${address.port}`

const renewal = Effect.gen(function* () {
  const connections = yield* Connections
  yield* connections.authConfigs.register(
    AuthConfig.make({
      id: "provider",
      toolkit: "provider",
      scheme: "OAUTH2",
      profile: ProviderProfile.make({ name: "provider", rotation: "single-use" }),
      settings: {
        clientId: "app",
        authorizationEndpoint: `http://${host}/authorize`,
        tokenEndpoint: `http://${host}/token`
      },
      secrets: { client_secret: Redacted.make("secret") },
      hosts: [host]
    })
  )
  const { id } = yield* connections.create({
    authConfigId: "provider",
    userId: "ada",
    secrets: { access_token: Redacted.make("old"), refresh_token: Redacted.make("first") },
    expiresAt: DateTime.makeUnsafe(0)
  })
  const outcome = yield* ConnectedAccounts.use((accounts) => accounts.refresh(id))
  assert.equal(outcome._tag, "Ready")
  const token = yield* connections.accessToken(id)
  assert.equal(Redacted.value(token), "new")
}).pipe(
  Effect.provide(
    Engine.layerSqlite(join(folder, "engine.db"), {
      consent: { callbackUrl: "https://app.example.com/callback" },
      egress: { privateHosts: [host] }
    }).pipe(Layer.provide(CredentialVault.layerEphemeral))
  )
)

try {
  await Effect.runPromise(renewal)
  assert.equal(bodies.length, 1)
  assert.match(bodies[0] ?? "", /refresh_token=first/)
  await check(origin)
} finally {
  provider.close()
  await rm(folder, { recursive: true })
}
