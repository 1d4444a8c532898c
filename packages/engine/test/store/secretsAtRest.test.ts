/** What a reader of the database without a key sees. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { createHash } from "node:crypto"
import { authConfig, refresh, scenario, Wire } from "../support/ScriptedEngine.ts"

const password = "correct horse"
const digests = (["sha1", "sha256", "sha512"] as const).flatMap((algorithm) =>
  (["hex", "base64", "base64url"] as const).map((encoding) => createHash(algorithm).update(password).digest(encoding))
)

/** Every row of every table. */
const everything = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ readonly name: string }>`SELECT name FROM sqlite_schema WHERE type = 'table'`
  const rows = yield* Effect.forEach(tables, ({ name }) => sql`SELECT * FROM ${sql(name)}`)
  return JSON.stringify(rows)
})

describe("a password that is being sent", () => {
  it.effect("is not in the database, nor is a digest of it that could be guessed from a list", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const login = { loginUrl: "https://provider.test/login" }
      yield* connections.authConfigs.register(
        authConfig("legacy", {}, { scheme: "BASIC_WITH_JWT", settings: login, secrets: {} })
      )
      const { id } = yield* connections.create({
        authConfigId: "legacy",
        userId: "ada",
        secrets: { username: Redacted.make("ada"), password: Redacted.make(password) }
      })
      const sql = yield* SqlClient.SqlClient
      const wire = yield* Wire
      let meanwhile = ""
      wire.meets = () =>
        everything.pipe(
          Effect.provideService(SqlClient.SqlClient, sql),
          Effect.orDie,
          Effect.map((rows) => {
            meanwhile = rows
            return new Response(JSON.stringify({ token: "t" }))
          })
        )
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      const after = yield* everything
      for (const rows of [meanwhile, after]) {
        assert.include(rows, "BASIC_WITH_JWT")
        for (const text of [password, ...digests]) assert.notInclude(rows, text)
      }
    }).pipe(scenario())
  )
})
