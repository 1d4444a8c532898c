/** What the audit log has to do on every database: one chain for many writers, and every tampering named. */
import { assert, type Vitest } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { AuditLog, type AuditRecord, type AuditVerdict } from "#cli/audit/AuditLog.ts"
import { connect, Databases } from "../support/databases.ts"

const record = (target: string) =>
  ({
    actor: "key_0123456789ab",
    projectId: "default",
    action: "key.created",
    target,
    details: { name: "deploy" }
  }) satisfies AuditRecord

/** Runs on a new database with the log. */
const withLog = <A, E>(effect: Effect.Effect<A, E, AuditLog | SqlClient.SqlClient>) =>
  Effect.gen(function* () {
    const place = yield* Effect.flatMap(Databases, ({ make }) => make)
    return yield* Effect.provide(effect, Layer.provideMerge(AuditLog.layer, connect(place)))
  })

/** Five entries. */
const filled = Effect.gen(function* () {
  const log = yield* AuditLog
  for (const target of ["a", "b", "c", "d", "e"]) yield* log.append(record(target))
  return log
})

/** Somebody with the rights of the service removes what is in the way. */
const disarm = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    pg: () => sql`DROP TRIGGER rekindle_audit_kept ON rekindle_audit_log`,
    orElse: () => sql`DROP TRIGGER rekindle_audit_not_changed`
  })
  yield* sql.onDialectOrElse({ pg: () => Effect.void, orElse: () => sql`DROP TRIGGER rekindle_audit_not_deleted` })
})

type Tamper = (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>

const swapped: Tamper = (sql) =>
  Effect.all([
    sql`UPDATE rekindle_audit_log SET sequence = 99 WHERE sequence = 2`,
    sql`UPDATE rekindle_audit_log SET sequence = 2 WHERE sequence = 3`,
    sql`UPDATE rekindle_audit_log SET sequence = 3 WHERE sequence = 99`
  ])

const copied =
  (from: number, to: number): Tamper =>
  (sql) =>
    sql`INSERT INTO rekindle_audit_log SELECT ${to}, at, project_id, actor, action, target, details, previous_hash, hash
      FROM rekindle_audit_log WHERE sequence = ${from}`

const tampering: ReadonlyArray<readonly [name: string, tamper: Tamper, broken: number, problem: RegExp]> = [
  [
    "a changed actor",
    (sql) => sql`UPDATE rekindle_audit_log SET actor = 'key_ffffffffffff' WHERE sequence = 3`,
    3,
    /changed/
  ],
  ["a changed time", (sql) => sql`UPDATE rekindle_audit_log SET at = at - 1 WHERE sequence = 2`, 2, /changed/],
  [
    "a changed project",
    (sql) => sql`UPDATE rekindle_audit_log SET project_id = 'other' WHERE sequence = 1`,
    1,
    /changed/
  ],
  [
    "a lookalike in a target",
    (sql) => sql`UPDATE rekindle_audit_log SET target = 'а' WHERE sequence = 1`,
    1,
    /changed/
  ],
  [
    "changed details",
    (sql) => sql`UPDATE rekindle_audit_log SET details = '{"name": "deploy"}' WHERE sequence = 5`,
    5,
    /changed/
  ],
  [
    "text moved from one field to the next",
    (sql) => sql`UPDATE rekindle_audit_log SET action = 'key.create', target = 'dd' WHERE sequence = 4`,
    4,
    /changed/
  ],
  [
    "a hash that was computed anew for one entry",
    (sql) => sql`UPDATE rekindle_audit_log SET hash = ${"0".repeat(64)} WHERE sequence = 2`,
    2,
    /changed/
  ],
  ["two entries that changed places", swapped, 2, /follow/],
  ["a removed entry", (sql) => sql`DELETE FROM rekindle_audit_log WHERE sequence = 3`, 3, /missing/],
  ["a removed beginning", (sql) => sql`DELETE FROM rekindle_audit_log WHERE sequence < 3`, 1, /missing/],
  ["a removed end", (sql) => sql`DELETE FROM rekindle_audit_log WHERE sequence > 3`, 4, /missing/],
  ["nothing left", (sql) => sql`DELETE FROM rekindle_audit_log`, 1, /missing/],
  ["an entry before the first", copied(1, 0), 0, /inserted/],
  ["an entry after the last", copied(5, 6), 6, /follow/],
  [
    "an unreadable entry",
    (sql) =>
      sql.onDialectOrElse({
        pg: () =>
          Effect.andThen(
            sql`ALTER TABLE rekindle_audit_log ALTER hash DROP NOT NULL`,
            sql`UPDATE rekindle_audit_log SET hash = NULL WHERE sequence = 4`
          ),
        orElse: () => sql`UPDATE rekindle_audit_log SET at = 'yesterday' WHERE sequence = 4`
      }),
    4,
    /cannot be read/
  ],
  ["a head that was set back", (sql) => sql`UPDATE rekindle_audit_head SET sequence = 3`, 4, /head does not know/],
  ["a head with another hash", (sql) => sql`UPDATE rekindle_audit_head SET hash = 'x'`, 5, /another hash/],
  ["a removed head", (sql) => sql`DELETE FROM rekindle_audit_head`, 6, /head of the log is missing/]
]

/** Runs the contract on the databases of `it`. */
export const auditLog = (it: Vitest.MethodsNonLive<Databases>) => {
  it.effect("lists what was recorded, newest first, and verifies it", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const verdict = yield* log.verify()
        assert.deepStrictEqual([verdict.intact, verdict.broken], [5, undefined])
        assert.deepStrictEqual(yield* log.verify(verdict.head), verdict)
        const [last, ...others] = yield* log.list({ limit: 3 })
        assert.deepStrictEqual(
          others.map(({ target }) => target),
          ["d", "c"]
        )
        assert.deepInclude({ ...last }, { ...record("e"), sequence: 5, hash: verdict.head.hash })
        const earlier = yield* log.list({ limit: 10, before: 3, actor: "key_0123456789ab", projectId: "default" })
        assert.deepStrictEqual(
          earlier.map(({ sequence }) => sequence),
          [2, 1]
        )
        assert.deepStrictEqual(yield* log.list({ limit: 10, projectId: "other" }), [])
      })
    )
  )

  it.effect("an empty log is intact", () =>
    withLog(
      Effect.gen(function* () {
        const { head, ...verdict } = yield* AuditLog.use((log) => log.verify())
        assert.deepStrictEqual({ head, ...verdict }, { intact: 0, head: { sequence: 0, hash: "" }, broken: undefined })
      })
    )
  )

  it.effect("stores any text, and what it stores verifies", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* AuditLog
        for (const target of [
          "\0",
          "\ud800",
          "x".repeat(499) + "😀",
          "'; DROP TABLE rekindle_audit_log; --",
          "\u202e"
        ]) {
          yield* log.append({ ...record(target), details: { text: target } })
        }
        assert.deepInclude(yield* log.verify(), { intact: 5, broken: undefined })
      })
    )
  )

  it.effect("processes that write at once make one chain", () =>
    Effect.gen(function* () {
      const place = yield* Effect.flatMap(Databases, ({ make }) => make)
      const process = (name: string) =>
        Effect.gen(function* () {
          const log = yield* AuditLog
          yield* Effect.forEach(
            Array.from({ length: 10 }, (_, index) => `${name}${index}`),
            (target) => log.append(record(target)),
            {
              concurrency: 5
            }
          )
        }).pipe(Effect.provide(Layer.provideMerge(AuditLog.layer, connect(place))))
      // The first one migrates.
      yield* process("a")
      yield* Effect.all(["b", "c", "d"].map(process), { concurrency: 3 })
      const [verdict, listed] = yield* AuditLog.use((log) => Effect.all([log.verify(), log.list({ limit: 100 })])).pipe(
        Effect.provide(Layer.provideMerge(AuditLog.layer, connect(place)))
      )
      assert.deepStrictEqual([verdict.intact, verdict.broken], [40, undefined])
      assert.strictEqual(new Set(listed.map(({ target }) => target)).size, 40)
    })
  )

  it.effect("verifies while another process appends", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const [verdicts] = yield* Effect.all(
          [
            Effect.forEach(Array.from({ length: 10 }), () => log.verify()),
            Effect.forEach(Array.from({ length: 10 }), (_, index) => log.append(record(`more ${index}`)))
          ],
          { concurrency: 2 }
        )
        for (const { broken } of verdicts) assert.isUndefined(broken)
      })
    )
  )

  it.effect("an entry of a transaction that is rolled back leaves no gap", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const sql = yield* SqlClient.SqlClient
        yield* Effect.exit(sql.withTransaction(Effect.andThen(log.append(record("f")), Effect.fail("no"))))
        yield* log.append(record("g"))
        assert.deepInclude(yield* log.verify(), { intact: 6, broken: undefined })
      })
    )
  )

  it.effect("refuses to change or remove an entry", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const sql = yield* SqlClient.SqlClient
        for (const statement of [
          sql`UPDATE rekindle_audit_log SET actor = 'nobody' WHERE sequence = 3`,
          sql`DELETE FROM rekindle_audit_log WHERE sequence = 5`
        ])
          yield* Effect.flip(statement)
        assert.deepInclude(yield* log.verify(), { intact: 5, broken: undefined })
      })
    )
  )

  it.effect("names the first broken entry after tampering", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const sql = yield* SqlClient.SqlClient
        yield* disarm
        for (const [name, tamper, sequence, problem] of tampering) {
          let verdict: AuditVerdict | undefined
          // What was done to the log is undone after each case.
          const undone = yield* Effect.gen(function* () {
            yield* tamper(sql)
            verdict = yield* log.verify()
            return yield* Effect.fail("undone")
          }).pipe(sql.withTransaction, Effect.flip)
          assert.strictEqual(undone, "undone", name)
          const { broken } = verdict ?? {}
          assert.strictEqual(broken?.sequence, sequence, name)
          assert.match(broken?.problem ?? "", problem, name)
        }
        assert.isUndefined((yield* log.verify()).broken)
      })
    )
  )

  it.effect("a log that was cut off or written anew, head and all, differs from a head that was noted", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        const sql = yield* SqlClient.SqlClient
        const { head } = yield* log.verify()
        const [third] = yield* log.list({ limit: 1, before: 4 })
        yield* disarm
        yield* sql`DELETE FROM rekindle_audit_log WHERE sequence > 3`
        yield* sql`UPDATE rekindle_audit_head SET sequence = 3, hash = ${third?.hash}`
        assert.isUndefined((yield* log.verify()).broken)
        assert.strictEqual((yield* log.verify(head)).broken?.sequence, 4)
        for (const target of ["other d", "other e", "f"]) yield* log.append(record(target))
        assert.isUndefined((yield* log.verify()).broken)
        assert.strictEqual((yield* log.verify(head)).broken?.sequence, 5)
      })
    )
  )

  it.effect("is not continued without its head", () =>
    withLog(
      Effect.gen(function* () {
        const log = yield* filled
        yield* (yield* SqlClient.SqlClient)`DELETE FROM rekindle_audit_head`
        assert.strictEqual((yield* Effect.flip(log.append(record("f"))))._tag, "AuditBroken")
      })
    )
  )
}
