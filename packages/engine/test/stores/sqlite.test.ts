import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { AccountStore, SqlAccountStore, SqliteClient } from "@rekindle/engine"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { migrateInProcesses } from "./migrateInProcesses.ts"
import { Database, suite } from "./storeContract.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-store-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const store = (filename: string) => Layer.provideMerge(SqlAccountStore.layer, SqliteClient.layer(filename))

// A database in memory belongs to one connection: every client is the same one.
suite(
  "the account store on SQLite in memory",
  Layer.effect(
    Database,
    Effect.map(Layer.build(store(":memory:")), (client) => ({ connect: Effect.succeed(client) }))
  )
)

suite(
  "the account store on a SQLite file",
  Layer.effect(
    Database,
    Effect.map(folder, (folder) => ({ connect: Layer.build(Layer.fresh(store(join(folder, "engine.db")))) }))
  )
)

describe("a SQLite file", () => {
  it.live("is migrated once by processes that start together", () =>
    Effect.gen(function* () {
      const filename = join(yield* folder, "engine.db")
      assert.deepStrictEqual(yield* migrateInProcesses(3, { filename }), [0, 0, 0])
      const found = yield* AccountStore.use((store) => store.counts(0)).pipe(Effect.provide(store(filename)))
      assert.deepStrictEqual(found, { byStatus: {}, due: 0 })
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
