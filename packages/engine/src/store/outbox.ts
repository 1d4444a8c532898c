/**
 * Statements about announcements.
 *
 * @module
 */
import { Effect } from "effect"
import type { AccountStore, OutboxEvent } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import { asStoreError, OutboxRow } from "./rows.ts"

export const makeOutbox = ({ isSqlite, readable, sql, statement, transaction }: Database) => {
  return {
    readOutbox: (after, limit) => {
      const read = sql`SELECT * FROM rekindle_outbox WHERE sequence > ${after} ORDER BY sequence LIMIT ${limit}`
      // Postgres gives sequence numbers before the commit. Waiting for the writers under way makes sure that no smaller one appears later;
      // those that come after us wait too, so one that hangs must not hold us for long.
      const afterWriters = sql`SET LOCAL lock_timeout = '2s'`.pipe(
        Effect.andThen(sql`LOCK TABLE rekindle_outbox IN SHARE MODE`),
        Effect.andThen(read),
        transaction
      )
      const settled = isSqlite
        ? read
        : Effect.flatMap(read, (rows) => (rows.length === 0 ? Effect.succeed(rows) : afterWriters))
      return settled.pipe(
        Effect.flatMap(readable(OutboxRow, namedBy("rekindle_outbox", "sequence"))),
        Effect.map((rows) =>
          rows.map((row): OutboxEvent => ({
            sequence: row.sequence,
            projectId: row.project_id,
            accountId: row.account_id,
            type: row.type,
            status: row.status,
            statusReason: row.status_reason,
            generation: row.generation,
            at: row.at
          }))
        ),
        asStoreError
      )
    },

    trimOutbox: (through) =>
      statement(sql`DELETE FROM rekindle_outbox WHERE sequence <= ${through}`).pipe(Effect.asVoid, asStoreError)
  } satisfies Partial<AccountStore["Service"]>
}
