/** How long rows are kept, and their deletion. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { AuthConfigs } from "@rekindle/engine"
import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { authConfig, connected, elapse, events, refresh, scenario } from "../support/ScriptedEngine.ts"

const countOf = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly count: number }>`SELECT COUNT(*) AS count FROM ${sql(table)}`
    return rows[0]?.count
  })

describe("retention", () => {
  it.effect("events that nobody reads do not pile up for ever", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* refresh(id)
      yield* elapse("29 days", "1 day")
      assert.deepStrictEqual(yield* events, ["renewed"])
      yield* elapse("2 days", "12 hours")
      assert.deepStrictEqual(yield* events, [])
    }).pipe(scenario({ engine: { retention: { interval: "6 hours" } } }))
  )

  it.effect("events stay for as long as the application says", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* refresh(id)
      yield* elapse("40 days", "1 day")
      assert.deepStrictEqual(yield* events, ["renewed"])
    }).pipe(scenario({ engine: { retention: { events: Duration.infinity, interval: "6 hours" } } }))
  )

  it.effect("old keys and lapsed links go though nobody asks for anything", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const { id } = yield* connected()
      yield* refresh(id, { idempotencyKey: "key" })
      const pending = yield* connections.create({ authConfigId: "scripted", userId: "person" })
      yield* refresh(pending.id)
      assert.deepStrictEqual(
        [yield* countOf("rekindle_idempotency_keys"), yield* countOf("rekindle_consent_attempts")],
        [1, 1]
      )
      yield* elapse("26 hours", "30 minutes")
      assert.deepStrictEqual(
        [yield* countOf("rekindle_idempotency_keys"), yield* countOf("rekindle_consent_attempts")],
        [0, 0]
      )
    }).pipe(scenario())
  )

  it.effect("opened auth configs do not pile up in memory: the one that was used longest ago is read again", () => {
    let reads = 0
    return Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(authConfig("first"))
      const ids = Array.from({ length: 1_000 }, (_, index) => `config-${index}`)
      yield* Effect.forEach(ids, (id) => connections.authConfigs.register(authConfig(id)), { discard: true })
      const configs = yield* AuthConfigs
      const load = (authConfigId: string) => configs.load({ projectId: "default", authConfigId })
      yield* load("first")
      reads = 0
      yield* load("first")
      assert.strictEqual(reads, 0)
      yield* Effect.forEach(ids, load, { discard: true })
      reads = 0
      yield* load("first")
      assert.strictEqual(reads, 1)
    }).pipe(
      scenario({
        store: (store) => ({
          ...store,
          findAuthConfig: (config) =>
            Effect.suspend(() => {
              reads++
              return store.findAuthConfig(config)
            })
        })
      })
    )
  })
})
