/** A command on a database that is not Rekindle's, is not there, is newer, or is in use. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setImmediate } from "node:timers/promises"
import { CredentialVault, Engine } from "@rekindle/engine"
import { runRekindle } from "../support/commandLine.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-database-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

const env = { REKINDLE_KEYS: "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }

const sqlite = (file: string, ...statements: ReadonlyArray<string>) => {
  const database = new DatabaseSync(file)
  for (const statement of statements) database.exec(statement)
  return database
}

const list = (database: string) => runRekindle(["accounts", "list", "--database", database], { env })

it.effect("a command refuses a database that is not Rekindle's, and leaves it as it is", () =>
  Effect.gen(function* () {
    const home = yield* directory
    const foreign = join(home, "shop.db")
    sqlite(foreign, "CREATE TABLE orders (id INTEGER)").close()
    writeFileSync(join(home, "junk.db"), "x".repeat(5000))
    writeFileSync(join(home, "empty.db"), "")
    const before = readdirSync(home)
    for (const [file, says] of [
      ["shop.db", "is not a database of Rekindle"],
      ["empty.db", "is not a database of Rekindle"],
      ["junk.db", "file is not a database"],
      ["absent.db", "there is no such file"]
    ] as const) {
      const { code, stderr, stdout } = yield* list(join(home, file))
      assert.deepEqual([code, stdout], [1, ""], file)
      assert.include(stderr, says)
      assert.include(stderr, "what to do: name the database with --database")
    }
    assert.deepEqual(readdirSync(home), before)
    const tables = sqlite(foreign).prepare("SELECT name FROM sqlite_master").all()
    assert.deepEqual(
      tables.map(({ name }) => name),
      ["orders"]
    )
  })
)

it.effect("a command says that a database is newer, or in use", () =>
  Effect.gen(function* () {
    const file = join(yield* directory, "rekindle.db")
    const engine = Engine.layerSqlite(file, { consent: { callbackUrl: "https://app.example.com/callback" } })
    yield* Effect.scoped(Effect.provide(Effect.void, engine)).pipe(Effect.provide(CredentialVault.layerEphemeral))
    const database = sqlite(file, "BEGIN EXCLUSIVE")
    const busy = yield* Effect.raceFirst(
      runRekindle(["configs", "disable", "any", "--database", file], { env }),
      Effect.forever(
        Effect.andThen(
          Effect.promise(() => setImmediate()),
          TestClock.adjust("1 second")
        )
      )
    )
    assert.strictEqual(busy.code, 4)
    assert.match(busy.stderr, /^error: .*database is locked\nwhat to do: try again/)
    database.exec("ROLLBACK; INSERT INTO rekindle_migrations VALUES (999, '2030-01-01', 'later')")
    database.close()
    const newer = yield* list(file)
    assert.strictEqual(newer.code, 1)
    assert.match(newer.stderr, /schema 999 .*: start a version that knows it, or restore a backup/)
  })
)
