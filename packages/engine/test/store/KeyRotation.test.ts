import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, type ConnectedAccountId, ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import {
  AccountStore,
  AuthConfigs,
  CredentialVault,
  Engine,
  KeyRotation,
  SqlAccountStore,
  SqliteClient
} from "@rekindle/engine"
import { Effect, Layer, Redacted } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

const oldKey = { id: "old", key: Redacted.make(Buffer.alloc(32, "old key").toString("base64")) }
const newKey = { id: "new", key: Redacted.make(Buffer.alloc(32, "new key").toString("base64")) }

const temporaryFile = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
).pipe(Effect.map((directory) => join(directory, "accounts.db")))

const engine = (file: string, ring: ReadonlyArray<typeof oldKey>) =>
  Engine.layerSqlite(file, { consent: { callbackUrl: "https://app.example.com/callback" } }).pipe(
    Layer.provide(CredentialVault.layer(ring))
  )

/** An account sealed with the old key, in a file. */
const seed = (file: string) =>
  Effect.gen(function* () {
    const connections = yield* Connections
    yield* connections.authConfigs.register(AuthConfig.make({ id: "cfg", toolkit: "t", scheme: "API_KEY", hosts: [] }))
    return (yield* connections.create({ authConfigId: "cfg", userId: "u", secrets: { api_key: Redacted.make("k3y") } }))
      .id
  }).pipe(Effect.provide(engine(file, [oldKey])))

const canRead = (file: string, id: ConnectedAccountId, ring: ReadonlyArray<typeof oldKey>) =>
  Effect.gen(function* () {
    const account = yield* (yield* ConnectedAccounts).get(id)
    return "api_key" in account.state.val
  }).pipe(Effect.provide(engine(file, ring)))

const stores = (file: string) =>
  Layer.mergeAll(
    SqlAccountStore.layer.pipe(Layer.provide(SqliteClient.layer(file))),
    CredentialVault.layer([newKey, oldKey])
  )

const run = (file: string) => Effect.provide(KeyRotation.reseal, stores(file))

describe("key rotation", () => {
  it.live("a new key in front opens what the old one sealed; after resealing the old one can go", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const id = yield* seed(file)
      assert.isTrue(yield* canRead(file, id, [newKey, oldKey]))
      assert.strictEqual((yield* Effect.flip(canRead(file, id, [newKey])))._tag, "VaultError")
      // the account and its auth config
      assert.deepStrictEqual(yield* run(file), { resealed: 2, left: 0 })
      assert.isTrue(yield* canRead(file, id, [newKey]))
      assert.deepStrictEqual(yield* run(file), { resealed: 0, left: 0 })
    })
  )

  it.live("an auth config registered while it runs is not lost, and left for the next run", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* seed(file)
      const changed = AuthConfig.make({ id: "cfg", toolkit: "changed", scheme: "API_KEY", hosts: [] })
      const register = Effect.provide(
        Connections.use((connections) => connections.authConfigs.register(changed)),
        engine(file, [oldKey, newKey])
      )
      const report = yield* KeyRotation.reseal.pipe(
        Effect.updateService(AccountStore, (store) => ({
          ...store,
          listAuthConfigs: (query) => Effect.tap(store.listAuthConfigs(query), Effect.orDie(register))
        })),
        Effect.provide(stores(file))
      )
      assert.deepStrictEqual(report, { resealed: 1, left: 1 })
      assert.deepStrictEqual(yield* run(file), { resealed: 1, left: 0 })
      const config = yield* AuthConfigs.use((configs) =>
        configs.load({ projectId: CurrentProject.defaultValue(), authConfigId: "cfg" })
      ).pipe(Effect.provide(engine(file, [newKey])))
      assert.strictEqual(config.toolkit, "changed")
    })
  )

  it.live("a row that does not decode is left, and its key stays needed", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* seed(file)
      const database = new DatabaseSync(file)
      database.exec("UPDATE rekindle_accounts SET id = 'legacy-account-1'")
      assert.deepStrictEqual(yield* run(file), { resealed: 1, left: 1 })
      const keys = database.prepare("SELECT key_id FROM rekindle_vault_keys ORDER BY key_id").all()
      database.close()
      assert.deepStrictEqual(
        keys.map(({ key_id }) => key_id),
        ["new", "old"]
      )
    })
  )

  const reused = { id: "old", key: newKey.key }
  const brokenRings: ReadonlyArray<readonly [string, ReadonlyArray<typeof oldKey>, string]> = [
    ["that lacks a key", [newKey], 'lacks the key "old"'],
    ["that has other bytes under an id", [reused], 'the key "old" of the ring is not the one']
  ]
  for (const [name, ring, message] of brokenRings) {
    it.live(`a ring ${name} is refused when the engine starts and when it reseals, and the way out is named`, () =>
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const id = yield* seed(file)
        const started = yield* Effect.flip(canRead(file, id, ring))
        assert.include(started.message, message)
        const resealed = yield* KeyRotation.reseal.pipe(
          Effect.provide(
            Layer.mergeAll(
              SqlAccountStore.layer.pipe(Layer.provide(SqliteClient.layer(file))),
              CredentialVault.layer(ring)
            )
          ),
          Effect.flip
        )
        assert.include(resealed.message, message)
        assert.isTrue(yield* canRead(file, id, [oldKey]))
      })
    )

    it.live(`a ring ${name} is refused on a database from before there were canaries`, () =>
      Effect.gen(function* () {
        const file = yield* temporaryFile
        const id = yield* seed(file)
        const database = new DatabaseSync(file)
        database.exec("DELETE FROM rekindle_vault_keys")
        database.close()
        assert.include((yield* Effect.flip(canRead(file, id, ring))).message, message)
      })
    )
  }
})
