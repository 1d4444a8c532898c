/**
 * Statements about events of the outbox.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import type { AccountStore, OutboxEvent } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import { asStoreError, decodeAll, Int, OutboxRow, SequencePlaceRow } from "./rows.ts"

const toEvent = (row: typeof OutboxRow.Type): OutboxEvent => ({
  sequence: row.sequence,
  projectId: row.project_id,
  accountId: row.account_id,
  type: row.type,
  status: row.status,
  statusReason: row.status_reason,
  generation: row.generation,
  at: row.at
})

const decodeSequences = decodeAll(Schema.Struct({ sequence: Int }))

export const makeOutbox = ({ isSqlite, readable, sql, transaction }: Database) => {
  const forgetThrough = (sequence: number) =>
    sql`UPDATE rekindle_outbox_forgotten SET through = ${sequence} WHERE through < ${sequence}`

  const events = readable.page(OutboxRow, SequencePlaceRow, namedBy("rekindle_outbox", "sequence"))

  return {
    readOutbox: (after, limit, projectId) => {
      const ofProject = projectId === undefined ? sql`` : sql` AND project_id = ${projectId}`
      const read = sql`SELECT * FROM rekindle_outbox WHERE sequence > ${after}${ofProject} ORDER BY sequence LIMIT ${limit + 1}`
      // Postgres assigns sequences before the commit. Waiting for the current writers ensures that no smaller sequence appears later. New
      // writers queue behind this lock, so its wait is limited, in case a writer hangs.
      const afterWriters = sql`SET LOCAL lock_timeout = '2s'`.pipe(
        Effect.andThen(sql`LOCK TABLE rekindle_outbox IN SHARE MODE`),
        Effect.andThen(read),
        transaction
      )
      const settled = isSqlite
        ? read
        : Effect.flatMap(read, (rows) => (rows.length === 0 ? Effect.succeed(rows) : afterWriters))
      return settled.pipe(
        Effect.flatMap((found) => events(found, limit, toEvent)),
        asStoreError
      )
    },

    forgottenThrough: sql`SELECT through FROM rekindle_outbox_forgotten`.pipe(
      Effect.flatMap(decodeAll(Schema.Struct({ through: Int }))),
      Effect.map(([row]) => row?.through ?? 0),
      asStoreError
    ),

    trimOutbox: (through) =>
      Effect.gen(function* () {
        const [last] = yield* decodeSequences(
          yield* sql`SELECT sequence FROM rekindle_outbox WHERE sequence <= ${through} ORDER BY sequence DESC LIMIT 1`
        )
        yield* sql`DELETE FROM rekindle_outbox WHERE sequence <= ${through}`
        if (last !== undefined) yield* forgetThrough(last.sequence)
      }).pipe(transaction, asStoreError),

    // Events are swept in the order of their sequence, so the primary key serves. It differs from the order of their times only by the
    // clocks of several machines.
    sweepOutbox: ({ before, limit }) =>
      Effect.gen(function* () {
        const swept = yield* decodeSequences(
          yield* sql`DELETE FROM rekindle_outbox WHERE sequence IN (SELECT sequence FROM (SELECT sequence, at FROM rekindle_outbox
            ORDER BY sequence LIMIT ${limit}${isSqlite ? sql`` : sql` FOR UPDATE SKIP LOCKED`}) oldest WHERE at < ${before})
            RETURNING sequence`
        )
        if (swept.length > 0) yield* forgetThrough(Math.max(...swept.map(({ sequence }) => sequence)))
        return swept.length
      }).pipe(transaction, asStoreError)
  } satisfies Partial<AccountStore["Service"]>
}
