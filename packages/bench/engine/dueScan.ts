/**
 * The look for due accounts among a million, in a process of its own so that its memory can be read off. It gets the SQLite file as its
 * argument and sends one message: the median of the looks in milliseconds, and how much its memory grew by them.
 *
 * @module
 */
import { AccountStore, SqlAccountStore, SqliteClient } from "@rekindle/engine"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"

/** What the process reports. */
export interface DueScan {
  readonly accounts: number
  readonly milliseconds: number
  readonly claimed: number
  readonly residentMegabytes: number
  readonly growthMegabytes: number
}

const accounts = Number(process.argv[3])
const looks = 21
const limit = 500
const now = 1_800_000_000_000

const fill = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO rekindle_auth_configs (id, project_id, sealed, updated_at) VALUES ('default/bench', 'default', 'sealed', 0)`
  // one in fifty is due; credentials are as long as real ones
  yield* sql`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${accounts})
    INSERT INTO rekindle_accounts
      (id, project_id, auth_config_id, toolkit, user_id, scheme, status, generation, revision, grant_id, credential,
       obtained_at, expires_at, renew_at, epoch, created_at, updated_at)
    SELECT printf('ca_%012d', i), 'default', 'default/bench', 'mail', 'u' || i, 'OAUTH2', 'ACTIVE', 1, 1, 'g', hex(zeroblob(300)),
      0, ${now}, ${now} + (i % 50) * 60000, 0, 0, 0 FROM n`
})

const program = Effect.gen(function* () {
  yield* fill
  const store = yield* AccountStore
  global.gc?.()
  const before = process.memoryUsage().rss
  const times: Array<number> = []
  let claimed = 0
  for (let look = 0; look < looks; look++) {
    const start = performance.now()
    const due = yield* store.claimDue({
      config: { projectId: "default", authConfigId: "bench" },
      now,
      nextLook: now + 3_600_000,
      limit
    })
    times.push(performance.now() - start)
    claimed += due.length
  }
  const after = process.memoryUsage().rss
  const megabytes = (bytes: number) => Math.round(bytes / 1024 / 1024)
  const report: DueScan = {
    accounts,
    milliseconds: times.toSorted((a, b) => a - b)[Math.floor(looks / 2)] ?? Number.NaN,
    claimed,
    residentMegabytes: megabytes(after),
    growthMegabytes: megabytes(after - before)
  }
  process.send?.(report)
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(SqlAccountStore.layer.pipe(Layer.provideMerge(SqliteClient.layer(process.argv[2] ?? ":memory:"))))
  )
)
process.disconnect?.()
