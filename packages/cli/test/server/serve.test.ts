/** `rekindle serve` as a process: its first start, its health, and its end. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, Connections } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { DateTime, Effect, Fiber, Layer, Redacted } from "effect"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpFixture from "../../../engine/test/support/HttpFixture.ts"
import { serve, type ServeProcess } from "../support/serveProcess.ts"

const operationPage = readFileSync(join(import.meta.dirname, "../../../../docs/operation.md"), "utf8")

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-serve-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

const get = (url: string, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { headers })
    return { status: response.status, text: await response.text() }
  })

const keys = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

/** A database with an account whose credential is due, and a token endpoint that answers only when it is told to. */
const dueAccount = Effect.gen(function* () {
  const asked: Array<ServerResponse> = []
  let onAsked = (): void => {}
  const provider = yield* HttpFixture.make((_, response) => {
    asked.push(response)
    onAsked()
  })
  const database = join(yield* directory, "rekindle.db")
  const ring = [{ id: "k1", key: Redacted.make(keys.slice(3)) }]
  const { id } = yield* Effect.gen(function* () {
    const { authConfigs, create } = yield* Connections
    yield* authConfigs.register(
      AuthConfig.make({
        id: "held",
        toolkit: "held",
        scheme: "OAUTH2",
        hosts: [provider.host],
        settings: {
          clientId: "app",
          authorizationEndpoint: `${provider.origin}/authorize`,
          tokenEndpoint: `${provider.origin}/token`
        },
        secrets: { client_secret: Redacted.make("secret") }
      })
    )
    return yield* create({
      authConfigId: "held",
      userId: "ann",
      secrets: { access_token: Redacted.make("old"), refresh_token: Redacted.make("rt-1") },
      expiresAt: DateTime.makeUnsafe(0)
    })
  }).pipe(
    Effect.provide(
      Engine.layerSqlite(database, {
        consent: { callbackUrl: "https://app.example.com/callback" },
        egress: { privateHosts: ["*"] }
      }).pipe(Layer.provide(CredentialVault.layer(ring)))
    ),
    Effect.orDie
  )
  const env = {
    REKINDLE_DATABASE: database,
    REKINDLE_KEYS: keys,
    REKINDLE_PRIVATE_HOSTS: provider.host,
    REKINDLE_RENEWER: "false"
  }
  return {
    env,
    refresh: (server: ServeProcess) =>
      Effect.promise(async () => {
        const response = await fetch(`${server.url}/api/v3/connected_accounts/${id}/refresh`, {
          method: "POST",
          headers: { "x-api-key": server.adminKey() }
        })
        return { status: response.status, connection: response.headers.get("connection"), body: await response.json() }
      }),
    /** Waits for a request to the token endpoint. */
    asked: Effect.promise(
      () =>
        new Promise<void>((resolve) => {
          onAsked = resolve
          if (asked.length > 0) resolve()
        })
    ),
    answer: Effect.sync(() => {
      for (const response of asked)
        response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify({ access_token: "new", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-2" }))
    })
  }
})

describe("rekindle serve", () => {
  it.live(
    "makes a key file for this user alone, says its admin key once, answers for its health, and outlives the reader of its log",
    () =>
      Effect.gen(function* () {
        const home = yield* directory
        const env = { REKINDLE_DATABASE: join(home, "rekindle.db") }
        const first = yield* serve(env)
        assert.strictEqual(statSync(join(home, "rekindle.keys")).mode & 0o777, 0o600)
        assert.include(first.stdout(), "the key file is new; back it up")
        const key = first.adminKey()
        assert.isAbove(key.length, 30)
        assert.notInclude(first.stdout(), key)

        assert.deepEqual(yield* get(`${first.url}/healthz`), { status: 200, text: '{"status":"ok"}' })
        const ready = yield* get(`${first.url}/readyz`)
        assert.strictEqual(ready.status, 200)
        const { checks } = JSON.parse(ready.text)
        assert.deepEqual([checks.database.status, checks.vault.status, checks.renewer.status], ["ok", "ok", "ok"])
        const metrics = (yield* get(`${first.url}/metrics`)).text
        assert.include(metrics, "rekindle_renewer_oldest_due")
        for (const [, name = ""] of metrics.matchAll(/^# TYPE (\w+)/gm)) assert.include(operationPage, `\`${name}\``)
        const account = `${first.url}/api/v3/connected_accounts/ca_4CkFF_cKATwg`
        assert.strictEqual((yield* get(account)).status, 401)
        assert.strictEqual((yield* get(account, { "x-api-key": key })).status, 404)

        // Each request is a line of the log.
        first.stopReading()
        for (let request = 0; request < 3; request++) assert.strictEqual((yield* get(account)).status, 401)
        first.signal("SIGTERM")
        assert.strictEqual(yield* first.ended, 0)
      })
  )

  it.live("finishes a refresh in flight when it is asked to stop", () =>
    Effect.gen(function* () {
      const { answer, asked, env, refresh } = yield* dueAccount
      const server = yield* serve(env)
      const refreshing = yield* Effect.forkScoped(refresh(server))
      yield* asked
      server.signal("SIGTERM")
      yield* server.said('"stopping"')
      yield* answer
      const { body, connection, status } = yield* Fiber.join(refreshing)
      assert.deepEqual([status, body.status], [200, "ACTIVE"])
      // A connection that is kept would hold up the stop.
      assert.strictEqual(connection, "close")
      assert.strictEqual(yield* server.ended, 0)
      const lines = server.stdout().trim().split("\n")
      assert.strictEqual(JSON.parse(lines.at(-1) ?? "").message, "stopped")
    })
  )

  it.live("ends at once when it is asked twice", () =>
    Effect.gen(function* () {
      const { asked, env, refresh } = yield* dueAccount
      const server = yield* serve(env)
      yield* Effect.forkScoped(Effect.exit(refresh(server)))
      yield* asked
      server.signal("SIGTERM")
      yield* server.said('"stopping"')
      server.signal("SIGTERM")
      assert.strictEqual(yield* server.ended, 143)
    })
  )
})
