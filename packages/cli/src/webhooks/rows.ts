/**
 * The rows of webhook tables, and the database that their statements run on.
 *
 * @module
 */
import { Unavailable } from "@rekindle/core"
import { Effect, Predicate, Result, Schema, SchemaTransformation } from "effect"
import { SqlClient, SqlError } from "effect/sql"

// Postgres returns 64-bit integers as bigint, SQLite as number. Epoch milliseconds and counters fit a double.
export const Int = Schema.Union([
  Schema.Number,
  Schema.BigInt.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.transform({ decode: Number, encode: BigInt })))
])
const MaybeInt = Schema.NullOr(Int)

export const SubscriptionRow = Schema.Struct({
  id: Schema.String,
  project_id: Schema.String,
  url: Schema.String,
  version: Schema.Literals(["V1", "V2", "V3"]),
  events: Schema.fromJsonString(Schema.Array(Schema.String)),
  secrets: Schema.String,
  revision: Int,
  created_at: Int,
  updated_at: Int,
  disabled_at: MaybeInt,
  failures: Int
})
export type SubscriptionRow = typeof SubscriptionRow.Type

export const DeliveryRow = Schema.Struct({
  sequence: Int,
  message_id: Schema.String,
  event_type: Schema.String,
  state: Schema.Literals(["pending", "delivered", "dead"]),
  attempts: Int,
  queued_at: Int,
  attempted_at: MaybeInt,
  answered: MaybeInt,
  error: Schema.NullOr(Schema.String)
})
export type DeliveryRow = typeof DeliveryRow.Type

/** A statement failed, or a row does not decode. */
export type StoreFailure = SqlError.SqlError | Schema.SchemaError

/** Decodes all rows. */
export const decodeAll = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) =>
  Schema.decodeUnknownEffect(Schema.Array(schema))

/** Decodes the rows that decode. The others are reported and left out, so that one bad row affects no other endpoint. */
export const decodeReadable = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownResult(schema)
  return Effect.fnUntraced(function* (rows: ReadonlyArray<object>) {
    const readable: Array<S["Type"]> = []
    for (const row of rows) {
      const decoded = decode(row)
      if (Result.isSuccess(decoded)) readable.push(decoded.success)
      // The report has only the id, because the row holds secrets.
      else yield* Effect.logError("a webhook subscription does not decode; it is left out", { id: idOf(row) })
    }
    return readable
  })
}

const idOf = (row: object): unknown => (Predicate.hasProperty(row, "id") ? row.id : undefined)

/** The client reports a connection that was lost during a statement as a defect. Here it is a failure like the others. */
export const asFailure = <A, E, R>(asked: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.catchDefect(asked, (defect) => (SqlError.isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect)))

/** The failure of a call whose statement failed. */
export const orDown = <A, E, R>(asked: Effect.Effect<A, E | StoreFailure, R>) =>
  Effect.catchIf(
    asFailure(asked),
    (error): error is StoreFailure => SqlError.isSqlError(error) || Schema.isSchemaError(error),
    (error) =>
      Effect.andThen(
        Effect.logError("the store of webhooks failed", error),
        Effect.fail(
          new Unavailable({ message: "the store is unavailable; nothing was done", slug: "store_unavailable" })
        )
      )
  )

/** The client, and the clock of leases. On Postgres it is the database's, because the clocks of several machines differ. */
export const database = Effect.map(SqlClient.SqlClient, (sql) => {
  const isSqlite = sql.onDialectOrElse({ sqlite: () => true, orElse: () => false })
  return {
    sql,
    isSqlite,
    /** The present time in epoch milliseconds. `now` is the caller's. */
    clock: (now: number) => (isSqlite ? sql`${now}` : sql`(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint`)
  }
})
export type Database = Effect.Success<typeof database>
