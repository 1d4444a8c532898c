/** An attacker who can write to the database, and has no key, moves sealed values. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccounts, Connections, CurrentProject } from "@rekindle/core"
import { CredentialVault, Engine } from "@rekindle/engine"
import { Effect, Layer, Redacted } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

const temporaryFile = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
).pipe(Effect.map((directory) => join(directory, "accounts.db")))

const engine = (file: string) =>
  Engine.layerSqlite(file, { consent: { callbackUrl: "https://app.example.com/callback" } }).pipe(
    Layer.provide(
      CredentialVault.layer([{ id: "k", key: Redacted.make(Buffer.alloc(32, "test key").toString("base64")) }])
    )
  )

const tampered = (statement: string, project = CurrentProject.defaultValue()) =>
  Effect.gen(function* () {
    const file = yield* temporaryFile
    const id = yield* Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        AuthConfig.make({ id: "cfg", toolkit: "t", scheme: "API_KEY", hosts: [] })
      )
      const { id } = yield* connections.create({
        authConfigId: "cfg",
        userId: "u",
        secrets: { api_key: Redacted.make("first") }
      })
      yield* connections.replaceSecrets(id, { api_key: Redacted.make("second") })
      return id
    }).pipe(Effect.provide(engine(file)))
    const shown = Effect.gen(function* () {
      return (yield* (yield* ConnectedAccounts).get(id)).state.val["api_key"]
    }).pipe(Effect.provide(engine(file)))
    assert.strictEqual(yield* shown, "********")
    const database = new DatabaseSync(file)
    assert.strictEqual(database.prepare(statement).run().changes, 1)
    database.close()
    return yield* Effect.provideService(shown, CurrentProject, project)
  })

describe("a sealed value moved to another place in the database", () => {
  it.live("does not open: the previous credential in the current column", () =>
    Effect.gen(function* () {
      const shown = yield* tampered("UPDATE rekindle_accounts SET credential = previous_credential")
      assert.isUndefined(shown)
    })
  )

  it.live("does not open: a row moved to another project", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* tampered("UPDATE rekindle_accounts SET project_id = 'mallory'", "mallory"))
    })
  )

  it.live("does not open: a row whose generation is turned back", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* tampered("UPDATE rekindle_accounts SET generation = generation - 1"))
    })
  )
})
