/**
 * The database of a command: a SQLite file or Postgres.
 *
 * @module
 */
import { SqliteClient } from "@rekindle/engine"
import { Effect, Layer, Redacted } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { DatabasePlace } from "../settings/settings.ts"

/** A client for it. `create` says whether a missing SQLite file is created. */
export const layer = (
  place: DatabasePlace,
  options: { readonly create: boolean; readonly connections?: number | undefined }
): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  place._tag === "Sqlite"
    ? SqliteClient.layer(place.file, { create: options.create })
    : Layer.unwrap(
        // A process on SQLite does not load the client of Postgres.
        Effect.map(
          Effect.promise(() => import("@effect/sql-pg/PgClient")),
          (PgClient) =>
            PgClient.layer({
              url: place.url,
              applicationName: "rekindle",
              ...(options.connections !== undefined && { maxConnections: options.connections })
            })
        )
      )

/** The database in words, without its password. */
export const describe = (place: DatabasePlace): string => {
  if (place._tag === "Sqlite") return place.file === ":memory:" ? "in memory" : `SQLite, ${place.file}`
  const url = URL.parse(Redacted.value(place.url))
  return url === null ? "Postgres" : `Postgres, ${url.host}${url.pathname}`
}

/** Where the journal of a database is, unless a setting names another directory. Undefined: in memory. */
export const defaultJournal = (place: DatabasePlace): string | undefined =>
  place._tag === "Postgres" ? "rekindle.journal" : place.file === ":memory:" ? undefined : `${place.file}.journal`
