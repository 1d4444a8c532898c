/** Four `rekindle serve` on one Postgres: any may answer and renew, each grant is spent once, and one that is killed loses nothing. */
import { assert, layer } from "@effect/vitest"
import { type ConnectedAccountId, Connections } from "@rekindle/core"
import { CredentialVault, Engine, Journal } from "@rekindle/engine"
import { DateTime, Effect, Layer, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { clientOf } from "../../../engine/test/support/Place.ts"
import { Postgres } from "../../../engine/test/support/Postgres.ts"
import { serve, type ServeProcess } from "../support/serveProcess.ts"

const keys = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

/** How many accounts there are. All are due when the processes start. */
const people = 16

const refresh = (server: ServeProcess, id: ConnectedAccountId) =>
  Effect.promise(async () => {
    const response = await fetch(`${server.url}/api/v3/connected_accounts/${id}/refresh`, {
      method: "POST",
      // The token is renewed although it would last.
      headers: { "x-api-key": "key", "x-rekindle-token-refused": "true" }
    })
    return { status: response.status, body: await response.json() }
  })

layer(Layer.merge(Postgres.layer, AuthorizationServer.layer({ latency: "20 millis" })), { excludeTestServices: true })(
  "four processes",
  (it) => {
    it.effect("divide the work, and take over that of one that is killed", () =>
      Effect.gen(function* () {
        const provider = yield* AuthorizationServer
        const place = yield* Postgres.use(({ database }) => database)
        const home = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-processes-"))),
          (home) => Effect.sync(() => rmSync(home, { recursive: true }))
        )
        const env = {
          REKINDLE_DATABASE: `postgres://${place.username}:${place.password}@${place.host}:${place.port}/${place.database}`,
          REKINDLE_KEYS: keys,
          REKINDLE_API_KEY: "key",
          REKINDLE_JOURNAL: join(home, "journal"),
          REKINDLE_PRIVATE_HOSTS: "*",
          REKINDLE_PUBLIC_URL: "https://rekindle.example.com"
        }
        const engine = Engine.layer({
          consent: { callbackUrl: "https://rekindle.example.com/api/v3/callback" },
          egress: { privateHosts: ["*"] }
        }).pipe(
          Layer.provide([
            clientOf(place),
            Journal.layerMemory,
            CredentialVault.layer([{ id: "k1", key: Redacted.make(keys.slice(3)) }])
          ])
        )
        const ids = yield* Effect.gen(function* () {
          const { authConfigs, create } = yield* Connections
          yield* authConfigs.register(provider.authConfig())
          return yield* Effect.forEach(Array.from({ length: people }), (_, person) =>
            Effect.gen(function* () {
              const { refreshToken } = yield* provider.mintRefreshToken(`person-${person}`)
              const { id } = yield* create({
                authConfigId: "oidc",
                userId: `person-${person}`,
                secrets: { access_token: Redacted.make("old"), refresh_token: Redacted.make(refreshToken) },
                expiresAt: DateTime.makeUnsafe(0)
              })
              return id
            })
          )
        }).pipe(Effect.provide(engine))

        // The tables of the engine are there, and those of the service are made by one of them.
        const [first, ...others] = yield* Effect.all(
          Array.from({ length: 4 }, () => serve(env)),
          { concurrency: "unbounded" }
        )

        // The background renews every account once, whichever process it is.
        const spent = Effect.sync(() => provider.tally().spent)
        yield* Effect.repeat(spent, { until: (spent) => spent >= people, schedule: Schedule.spaced("50 millis") })
        // What a killed process has in hand is held up until its lease is over, which would take a minute.
        const open = SqlClient.SqlClient.use((sql) => sql`SELECT account_id FROM rekindle_open_intents`)
        yield* Effect.repeat(open, {
          until: (intents) => intents.length === 0,
          schedule: Schedule.spaced("50 millis")
        }).pipe(Effect.provide(clientOf(place)))

        first?.signal("SIGKILL")
        assert.strictEqual(yield* first?.ended ?? Effect.succeed(undefined), "SIGKILL")

        // Every account is asked for at all of the others at once.
        const answers = yield* Effect.forEach(
          ids.flatMap((id) => others.map((server) => [server, id] as const)),
          ([server, id]) => refresh(server, id),
          { concurrency: "unbounded" }
        )
        assert.deepEqual(
          answers.filter(({ body, status }) => status !== 200 || body.status !== "ACTIVE"),
          []
        )
        const { replays, revoked, spent: allSpent } = provider.tally()
        assert.deepEqual({ replays, revoked }, { replays: 0, revoked: [] })
        assert.isAtLeast(allSpent, 2 * people)
      })
    )
  }
)
