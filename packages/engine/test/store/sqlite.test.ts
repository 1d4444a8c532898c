import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { AccountStore, Sealed, SqlAccountStore, SqliteClient } from "@rekindle/engine"
import { Context, Effect, Exit, Layer, Option, Result, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { migrateInProcesses } from "./migrateInProcesses.ts"
import { Database, start, suite } from "./storeContract.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-store-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const store = (filename: string) => Layer.provideMerge(SqlAccountStore.layer, SqliteClient.layer(filename))

const onFile: Layer.Layer<Database> = Layer.effect(
  Database,
  Effect.map(folder, (folder) => ({ connect: Layer.build(Layer.fresh(store(join(folder, "engine.db")))) }))
)

// A database in memory belongs to one connection: every client is the same one.
suite(
  "the account store on SQLite in memory",
  Layer.effect(
    Database,
    Effect.map(Layer.build(store(":memory:")), (client) => ({ connect: Effect.succeed(client) }))
  )
)

suite("the account store on a SQLite file", onFile)

describe("a SQLite file", () => {
  it.live("is migrated once by processes that start together", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      assert.deepStrictEqual(yield* migrateInProcesses(3, { filename }), [0, 0, 0])
      const found = yield* AccountStore.use((store) => store.counts(0)).pipe(Effect.provide(store(filename)))
      assert.deepStrictEqual(found, { byStatus: {}, due: 0 })
    })
  )

  it.live("that is full takes no write and loses none that was confirmed, and works again when there is room", () =>
    Effect.gen(function* () {
      const { added, reread, sql, store } = yield* start
      const accounts = yield* Effect.forEach(Array.from({ length: 6 }), () => added())
      const write = (text: string) =>
        Effect.forEach(
          accounts,
          ({ id }) =>
            Effect.flatMap(reread(id), (from) => {
              const to = { ...from, generation: from.generation + 1, credential: Sealed.make(text) }
              return store.write({ from, to, announce: ["renewed"] })
            }).pipe(Effect.result),
          { concurrency: "unbounded" }
        )
      const [pages] = yield* sql`PRAGMA page_count`
      yield* sql`PRAGMA max_page_count = ${sql.literal(String(Number(pages?.["page_count"]) + 4))}`
      const inVain = yield* write("x".repeat(4_000))
      assert.isAbove(inVain.filter(Result.isFailure).length, 0)
      for (const [index, { id }] of accounts.entries()) {
        const { generation } = yield* reread(id)
        const told = inVain[index]
        if (told?._tag === "Success") assert.strictEqual(generation, 4)
        else assert.strictEqual(told?.failure._tag, "StoreError")
      }
      yield* sql`PRAGMA max_page_count = 100000`
      const before = yield* Effect.forEach(accounts, ({ id }) => reread(id))
      assert.isTrue((yield* write("y".repeat(4_000))).every((told) => told._tag === "Success" && told.success))
      const after = yield* Effect.forEach(accounts, ({ id }) => reread(id))
      assert.deepStrictEqual(
        after.map(({ generation }) => generation),
        before.map(({ generation }) => generation + 1)
      )
      assert.lengthOf(
        yield* store.readOutbox(0, 100),
        after.reduce((sum, { generation }) => sum + generation - 3, 0)
      )
    }).pipe(Effect.provide(onFile))
  )

  it.live("that cannot be written to can be read; a write is a StoreError", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      yield* AccountStore.use((store) => store.counts(0)).pipe(Effect.provide(store(filename)))
      yield* AccountStore.use((store) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* store.counts(0), { byStatus: {}, due: 0 })
          assert.strictEqual((yield* Effect.flip(store.trimOutbox(1)))._tag, "StoreError")
        })
      ).pipe(Effect.provide(store(`file:${filename}?mode=ro`)))
    })
  )

  it.live("whose migration does not get to its end is as it was before, and is migrated when that is mended", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      const client = yield* Layer.build(SqliteClient.layer(filename))
      const sql = Context.get(client, SqlClient.SqlClient)
      const tables = Effect.map(sql`SELECT name FROM sqlite_schema WHERE type = 'table'`, (rows) =>
        rows.map((row) => row["name"]).filter((name) => String(name).startsWith("rekindle"))
      )
      yield* sql`CREATE TABLE rekindle_outbox (of_somebody_else TEXT)`
      const migrated = Layer.build(Layer.provide(Layer.fresh(SqlAccountStore.layer), Layer.succeedContext(client)))
      assert.strictEqual((yield* Effect.flip(migrated))._tag, "MigrationError")
      assert.deepStrictEqual((yield* tables).toSorted(), ["rekindle_migrations", "rekindle_outbox"])
      yield* sql`DROP TABLE rekindle_outbox`
      yield* migrated
      assert.includeMembers(yield* tables, ["rekindle_accounts", "rekindle_outbox"])
    })
  )

  it.live("fails with a StoreError once it is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const store = yield* Layer.buildWithScope(
        Layer.provide(SqlAccountStore.layer, SqliteClient.layer(join(yield* folder, "engine.db"))),
        scope
      ).pipe(Effect.flatMap((context) => Effect.provideContext(AccountStore, context)))
      const id = ConnectedAccountId.make("ca_nobodynobody")
      assert.isTrue(Option.isNone(yield* store.find(id)))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(store.find(id)))._tag, "StoreError")
      assert.strictEqual((yield* Effect.flip(store.trimOutbox(1)))._tag, "StoreError")
    })
  )
})
