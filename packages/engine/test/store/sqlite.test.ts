import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { AccountStore, Sealed, SqlAccountStore, SqliteClient } from "@rekindle/engine"
import { Context, Effect, Exit, Fiber, Layer, Option, Result, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { chmod, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { migrateInProcesses } from "./migrateInProcesses.ts"
import { Database, start, suite } from "./sqlContract.ts"

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
        (yield* store.readOutbox(0, 100)).items,
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

/** Waits in real time for work in progress, by turns of the event loop. */
const turns = (count: number) =>
  Effect.promise(async () => {
    for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  })

describe("a SQLite file whose write lock another process holds", () => {
  it.effect("blocks nothing but its writers, who are done when the lock is given back", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      const context = yield* Layer.build(store(filename))
      const accounts = Context.get(context, AccountStore)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(filename)),
        (database) => Effect.sync(() => database.close())
      )
      other.exec("BEGIN IMMEDIATE")
      let ticks = 0
      yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => ticks++),
            Effect.sleep("10 millis")
          )
        )
      )
      const writer = yield* Effect.forkChild(Effect.exit(accounts.trimOutbox(0)))
      for (let step = 0; step < 200; step++) {
        yield* TestClock.adjust("10 millis")
        yield* turns(2)
      }
      assert.isUndefined(writer.pollUnsafe())
      assert.isAtLeast(ticks, 150)
      // Readers do not wait for the lock.
      assert.deepStrictEqual((yield* accounts.counts(0)).byStatus, {})
      other.exec("COMMIT")
      for (let step = 0; step < 20; step++) {
        yield* TestClock.adjust("10 millis")
        yield* turns(2)
      }
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(writer)))
    })
  )

  it.effect("for long fails the write", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      const context = yield* Layer.build(store(filename))
      const accounts = Context.get(context, AccountStore)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(filename)),
        (database) => Effect.sync(() => database.close())
      )
      other.exec("BEGIN IMMEDIATE")
      const writer = yield* Effect.forkChild(Effect.flip(accounts.trimOutbox(0)))
      yield* turns(5)
      for (let step = 0; step < 60; step++) {
        yield* TestClock.adjust("100 millis")
        yield* turns(2)
      }
      assert.strictEqual((yield* Fiber.join(writer)).message, "the account store failed: LockTimeoutError")
    })
  )
})

describe("the files of a SQLite database", () => {
  const opened = (filename: string, options?: SqliteClient.SqliteOptions) =>
    Layer.build(Layer.provideMerge(SqlAccountStore.layer, SqliteClient.layer(filename, options)))
  const modes = (directory: string) =>
    Effect.promise(async () =>
      Promise.all((await readdir(directory)).map(async (name) => (await stat(join(directory, name))).mode & 0o777))
    )

  it.effect("are their user's alone, whatever the umask, and also those that were there", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const umask = process.umask(0)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(umask)))
      const filename = join(directory, "engine.db")
      yield* Effect.scoped(opened(filename))
      yield* Effect.promise(() => chmod(filename, 0o644))
      yield* opened(filename)
      const found = yield* modes(directory)
      assert.isAtLeast(found.length, 3)
      assert.deepStrictEqual([...new Set(found)], [0o600])
    })
  )

  for (const mode of [0o777, 0o1777]) {
    it.effect(`are not created where other users can write: mode ${mode.toString(8)}`, () =>
      Effect.gen(function* () {
        const directory = yield* folder
        yield* Effect.promise(() => chmod(directory, mode))
        const error = yield* Effect.flip(opened(join(directory, "engine.db")))
        assert.include(String(error.message), "other users can write to the directory")
        assert.deepStrictEqual(yield* modes(directory), [])
      })
    )
  }

  it.effect("are not made in a directory that does not exist: the error names the file and the reason", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "missing", "engine.db")
      const error = yield* Effect.flip(opened(filename))
      assert.include(String(error.message), `cannot open the database ${filename}`)
      assert.include(String(error.message), "does not exist")
    })
  )

  it.effect("are named in the error when they are no database", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      yield* Effect.promise(() => writeFile(filename, "no database".repeat(100)))
      const error = yield* Effect.flip(opened(filename))
      assert.include(String(error.message), filename)
      assert.include(String(error.message), "not a database")
    })
  )

  it.effect("are not created for a tool that works on an existing database", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const error = yield* Effect.flip(opened(join(directory, "typo.db"), { create: false }))
      assert.include(String(error.message), "there is no such file")
      assert.deepStrictEqual(yield* modes(directory), [])
    })
  )
})

describe("a SQLite file that is deleted or replaced while it is in use", () => {
  it.effect("takes no lease and no write, says which file it is, and goes on when it is back", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      const context = yield* Layer.build(store(filename))
      const accounts = Context.get(context, AccountStore)
      yield* accounts.trimOutbox(0)
      yield* Effect.promise(() => rename(filename, `${filename}.away`))
      const error = yield* Effect.flip(accounts.trimOutbox(0))
      assert.include(error.message, `the database file ${filename} was deleted or replaced`)
      // A file in its place counts as lost too, and within a second nothing is read from the deleted one.
      yield* Effect.promise(() => writeFile(filename, ""))
      yield* TestClock.adjust("1 second")
      assert.include((yield* Effect.flip(accounts.counts(0))).message, "deleted or replaced")
      yield* Effect.promise(() => rename(`${filename}.away`, filename))
      yield* TestClock.adjust("1 second")
      yield* accounts.trimOutbox(0)
    })
  )
})
