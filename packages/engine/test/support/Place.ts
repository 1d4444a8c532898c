/**
 * The place of a database, as plain data that one process can pass to another.
 *
 * @module
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqliteClient } from "@rekindle/engine"
import { type Layer, Redacted, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** How to reach one Postgres database. */
export const PostgresAddress = Schema.Struct({
  host: Schema.String,
  port: Schema.Int,
  username: Schema.String,
  password: Schema.String,
  database: Schema.String
})
export type PostgresAddress = typeof PostgresAddress.Type

/** A SQLite file or a Postgres database. */
export const Place = Schema.Union([Schema.Struct({ filename: Schema.String }), PostgresAddress])
export type Place = typeof Place.Type

/** Reads it from JSON. */
export const placeOf = Schema.decodeSync(Schema.fromJsonString(Place))

/** A client for it. */
export const clientOf = (place: Place): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  "filename" in place
    ? SqliteClient.layer(place.filename)
    : PgClient.layer({ ...place, password: Redacted.make(place.password) })
