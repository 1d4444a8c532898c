/**
 * Shared by all statements of the store: the client, how writes become durable, and the clock of leases.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { SqlClient, type Statement } from "effect/sql"
import * as GroupCommit from "./GroupCommit.ts"
import { makeReadable, type Readable } from "./readable.ts"

/** A database, and how the store uses it. */
export interface Database extends GroupCommit.Writer {
  readonly sql: SqlClient.SqlClient
  readonly isSqlite: boolean
  /** The clock of leases and intents, in epoch milliseconds. `now` is the caller's. */
  readonly clock: (now: number) => Statement.Fragment
  readonly readable: Readable
}

/** Makes the database from the `SqlClient` of the context. */
export const make: Effect.Effect<Database, never, SqlClient.SqlClient | Scope.Scope> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const isSqlite = sql.onDialectOrElse({ sqlite: () => true, orElse: () => false })
  const writer: GroupCommit.Writer = isSqlite
    ? yield* GroupCommit.make(sql)
    : { statement: (statement) => statement, transaction: (write) => sql.withTransaction(write) }
  return {
    ...writer,
    sql,
    isSqlite,
    clock: (now) => (isSqlite ? sql`${now}` : sql`(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint`),
    readable: makeReadable()
  }
})
