/**
 * The database of a command: a SQLite file or Postgres.
 *
 * @module
 */
import { SqliteClient } from "@rekindle/engine"
import { Effect, Layer, Predicate, Redacted } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { CommandFailed } from "../commands/failure.ts"
import type { DatabasePlace } from "../settings/settings.ts"

/** The database in words, without its password. */
export const describe = (place: DatabasePlace): string => {
  if (place._tag === "Sqlite") return place.file === ":memory:" ? "in memory" : `SQLite, ${place.file}`
  const url = URL.parse(Redacted.value(place.url))
  return url === null ? "Postgres" : `Postgres, ${url.host}${url.pathname}`
}

/** Why a Postgres does not answer: the code of the system, or the words of Postgres, which may name a user and a database. */
const unreachable = (place: DatabasePlace, { message, reason }: SqlError.SqlError) => {
  const { cause } = reason
  const fault = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  return new CommandFailed({
    message: `cannot reach ${describe(place)}: ${reason._tag === "ConnectionError" && Predicate.isString(fault) ? fault : message}`,
    fix: "check that it runs, and the address, user and password in --database or REKINDLE_DATABASE",
    exit: "tryAgain"
  })
}

/** A process on SQLite does not load the client of Postgres, which connects at the first statement. */
const postgres = (place: DatabasePlace & { readonly _tag: "Postgres" }, connections: number | undefined) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("@effect/sql-pg/PgClient")),
      (PgClient) =>
        PgClient.layer({
          url: place.url,
          applicationName: "rekindle",
          ...(connections !== undefined && { maxConnections: connections })
        })
    )
  ).pipe(
    Layer.tap((services) =>
      SqlClient.SqlClient.use((sql) => sql`SELECT 1`).pipe(
        Effect.provideContext(services),
        Effect.mapError((error) => unreachable(place, error))
      )
    )
  )

/** Refuses a database without the tables of Rekindle. A command would make them, in a database of somebody else whose name was mistyped. */
const refuseForeign = (place: DatabasePlace) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const found = yield* sql.onDialectOrElse({
      sqlite: () => sql`SELECT 1 FROM sqlite_master WHERE name = 'rekindle_migrations'`,
      orElse: () => sql`SELECT 1 WHERE to_regclass('rekindle_migrations') IS NOT NULL`
    })
    if (found.length === 0)
      return yield* new CommandFailed({
        message: `${describe(place)} is not a database of Rekindle: its tables are not there`,
        fix: "name the database with --database; the first rekindle serve makes the tables"
      })
  })

/** A client for it. `create` says whether a missing SQLite file, and the tables of a database, are going to be created. */
export const layer = (
  place: DatabasePlace,
  { connections, create }: { readonly create: boolean; readonly connections?: number | undefined }
): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError | CommandFailed> => {
  const client = place._tag === "Sqlite" ? SqliteClient.layer(place.file, { create }) : postgres(place, connections)
  return create ? client : Layer.tap(client, (services) => Effect.provideContext(refuseForeign(place), services))
}

/** Where the journal of a database is, unless a setting names another directory. Undefined: in memory. */
export const defaultJournal = (place: DatabasePlace): string | undefined =>
  place._tag === "Postgres" ? "rekindle.journal" : place.file === ":memory:" ? undefined : `${place.file}.journal`
