/** What `rekindle serve` refuses to start on, and the words that it finds. */
import { assert, describe, it } from "@effect/vitest"
import { CredentialVault, Engine, SqliteClient } from "@rekindle/engine"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { listen } from "../../../engine/test/support/listen.ts"
import { runRekindle } from "../support/commandLine.ts"

const k1 = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
const otherBytes = "k1:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
const otherId = "k2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="

const home = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-refusals-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

/** Runs `serve`, which has to end by itself. Returns what it says. */
const refusal = Effect.fnUntraced(function* (env: Record<string, string>, args: ReadonlyArray<string> = []) {
  const { code, stderr, stdout } = yield* runRekindle(["serve", ...args], { env })
  assert.strictEqual(stdout, "")
  return { code, stderr }
})

/** A database whose values the key `k1` seals. */
const usedDatabase = Effect.gen(function* () {
  const database = join(yield* home, "rekindle.db")
  yield* Effect.void.pipe(
    Effect.provide(
      Engine.layerSqlite(database, { consent: { callbackUrl: "https://app.example.com/callback" } }).pipe(
        Layer.provide(CredentialVault.layer([{ id: "k1", key: Redacted.make(k1.slice(3)) }]))
      )
    )
  )
  return { database, env: { REKINDLE_DATABASE: database, REKINDLE_PORT: "0" } }
})

describe("rekindle serve does not start", () => {
  it.live("on a port in use, and then makes neither a database nor a key file", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const { host } = yield* listen
      const [, port = ""] = host.split(":")
      const { code, stderr } = yield* refusal({
        REKINDLE_DATABASE: join(directory, "rekindle.db"),
        REKINDLE_PORT: port
      })
      assert.strictEqual(code, 1)
      assert.include(stderr, `port ${port} of 127.0.0.1 is in use`)
      assert.isFalse(existsSync(join(directory, "rekindle.db")) || existsSync(join(directory, "rekindle.keys")))
    })
  )

  it.live("on a database of a newer version", () =>
    Effect.gen(function* () {
      const { database, env } = yield* usedDatabase
      yield* SqlClient.SqlClient.use(
        (sql) => sql`INSERT INTO rekindle_migrations (migration_id, name) VALUES (999, 'later')`
      ).pipe(Effect.provide(SqliteClient.layer(database)))
      const { code, stderr } = yield* refusal({ ...env, REKINDLE_KEYS: k1 })
      assert.strictEqual(code, 1)
      assert.match(stderr, /the database has the schema 999 and this version knows \d+: start a version that knows it/)
    })
  )

  it.live("with the key ring of another database, and does not say a key", () =>
    Effect.gen(function* () {
      const { env } = yield* usedDatabase
      const lacking = yield* refusal({ ...env, REKINDLE_KEYS: otherId })
      assert.include(lacking.stderr, 'the key ring lacks the key "k1"')
      const wrong = yield* refusal({ ...env, REKINDLE_KEYS: otherBytes })
      assert.include(wrong.stderr, 'the key "k1" of the ring is not the one that sealed values of this database')
      assert.notInclude(lacking.stderr + wrong.stderr, otherId.slice(3))
    })
  )

  it.live("without the key file of a used database, and makes none", () =>
    Effect.gen(function* () {
      const { database, env } = yield* usedDatabase
      const file = join(database, "../rekindle.keys")
      const { stderr } = yield* refusal(env)
      assert.include(stderr, `there is no key file ${file}`)
      assert.include(stderr, "--key-file")
      assert.isFalse(existsSync(file))
    })
  )

  it.live("with a key file that others can read, that is a directory, or that holds no ring", () =>
    Effect.gen(function* () {
      const { database, env } = yield* usedDatabase
      const file = join(database, "../rekindle.keys")
      writeFileSync(file, k1)
      chmodSync(file, 0o640)
      const open = yield* refusal(env)
      assert.include(open.stderr, `other users can read the key file ${file} (mode 640)`)
      assert.include(open.stderr, `chmod 600 ${file}`)
      const directory = yield* refusal(env, ["--key-file", join(database, "..")])
      assert.include(directory.stderr, "is not a file")
      writeFileSync(file, "# nothing")
      chmodSync(file, 0o600)
      const empty = yield* refusal(env)
      assert.include(empty.stderr, `the key file ${file} holds no key`)
      writeFileSync(file, "secretsecretsecret")
      const foreign = yield* refusal(env)
      assert.include(foreign.stderr, "key 1 of the ring")
      assert.notInclude(foreign.stderr, "secretsecret")
    })
  )

  it.live(
    "in a directory that is not there, or on a Postgres that does not answer, and does not say its password",
    () =>
      Effect.gen(function* () {
        const absent = join(yield* home, "absent")
        const { stderr } = yield* refusal({ REKINDLE_DATABASE: join(absent, "rekindle.db"), REKINDLE_PORT: "0" })
        assert.include(stderr, absent)
        const postgres = yield* refusal({
          REKINDLE_DATABASE: "postgres://u:pass-word@127.0.0.1:1/x",
          REKINDLE_PORT: "0",
          REKINDLE_KEYS: k1,
          REKINDLE_JOURNAL: join(yield* home, "journal")
        })
        assert.include(postgres.stderr, "cannot reach Postgres, 127.0.0.1:1/x: ECONNREFUSED")
        assert.strictEqual(postgres.code, 4)
        assert.notInclude(postgres.stderr, "pass-word")
      })
  )
})
