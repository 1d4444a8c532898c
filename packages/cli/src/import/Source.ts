/**
 * Where another project keeps its rows: a Postgres, a SQLite file, or an export as JSON. It is only read.
 *
 * An export is one JSON object of tables (`{ "accounts": [ … ] }`), one JSON array of rows, or one row on a line.
 *
 * @module
 */
import { Context, Effect, FileSystem, Layer, Option, Predicate, Redacted, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { DatabaseSync } from "node:sqlite"
import { CommandFailed } from "../commands/failure.ts"
import type { Row } from "./Connection.ts"

/** The rows of another project. */
export interface Source {
  readonly tables: ReadonlySet<string>
  /** The rows of a table. An export that names no tables has the rows of one, whatever it is called. */
  readonly rows: (table: string) => Stream.Stream<Row, CommandFailed>
}

/** The table of an export that names none. */
const unnamed = ""

/** The table that is named, or the first of these that the source has. */
export const tableOf = (
  { tables }: Source,
  named: Option.Option<string>,
  names: ReadonlyArray<string>
): Effect.Effect<string, CommandFailed> => {
  const table = [...Option.match(named, { onNone: () => names, onSome: (name) => [name] }), unnamed].find((name) =>
    tables.has(name)
  )
  return table === undefined
    ? new CommandFailed({
        message: "the source has no table of accounts",
        fix: "name it with --table, and its schema with --schema",
        exit: "usage"
      })
    : Effect.succeed(table)
}

const unreadable = (what: string) =>
  new CommandFailed({ message: `${what} cannot be read`, fix: "check --from, and that it may be read" })

const isRow = (value: unknown): value is Row => Predicate.isObject(value) && !Array.isArray(value)

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))
const parse = (text: string) => Option.getOrUndefined(decodeJson(text))

const asTables = (value: unknown): ReadonlyMap<string, ReadonlyArray<Row>> => {
  if (Array.isArray(value)) return new Map([[unnamed, value.filter(isRow)]])
  if (!isRow(value)) return new Map()
  return new Map(
    Object.entries(value).flatMap(([table, rows]) => (Array.isArray(rows) ? [[table, rows.filter(isRow)]] : []))
  )
}

const fromExport = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fs.readFileString(file), () => unreadable("the export"))
  const whole = parse(text)
  const lines = text.split("\n").filter((line) => line.trim() !== "")
  const tables = asTables(whole === undefined || lines.length === 1 ? (whole ?? lines.map(parse)) : whole)
  if (tables.size === 0) return yield* unreadable("the export")
  return {
    tables: new Set(tables.keys()),
    rows: (table: string) => Stream.fromIterable(tables.get(table) ?? [])
  } satisfies Source
})

const fromSqlite = Effect.fnUntraced(function* (file: string) {
  const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: () => unreadable("the database") })
  const database = yield* Effect.acquireRelease(
    attempt(() => new DatabaseSync(file, { readOnly: true })),
    (database) => Effect.sync(() => database.close())
  )
  const found = yield* attempt(() => database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all())
  return {
    tables: new Set(found.map(({ name }) => String(name))),
    rows: (table: string) =>
      Stream.unwrap(
        Effect.map(
          attempt(() => database.prepare(`SELECT * FROM "${table.replaceAll('"', '""')}"`).iterate()),
          (rows) => Stream.fromIterable(rows)
        )
      )
  } satisfies Source
})

const fromPostgres = Effect.fnUntraced(function* (url: string, schemas: ReadonlyArray<string>) {
  // A command on SQLite does not load the client of Postgres.
  const { layer } = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
  const client = layer({ url: Redacted.make(url), applicationName: "rekindle import" })
  const context = yield* Effect.mapError(Layer.build(client), () => unreadable("the database"))
  const sql = Context.get(context, SqlClient.SqlClient)
  const found = yield* sql<{ readonly table_schema: string; readonly table_name: string }>`
    SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ${sql.in(schemas)}`.pipe(
    Effect.mapError(() => unreadable("the database"))
  )
  const places = new Map(
    found
      .toSorted((one, other) => schemas.indexOf(other.table_schema) - schemas.indexOf(one.table_schema))
      .map(({ table_name, table_schema }) => [table_name, `${table_schema}.${table_name}`])
  )
  return {
    tables: new Set(places.keys()),
    rows: (table: string) =>
      sql<Row>`SELECT * FROM ${sql(places.get(table) ?? table)}`.stream.pipe(
        Stream.mapError(() => unreadable("the database"))
      )
  } satisfies Source
})

/** Opens a source. `schemas` are those of a Postgres, the preferred one first. */
export const open = (from: Redacted.Redacted, schemas: ReadonlyArray<string>) => {
  const place = Redacted.value(from)
  if (/^postgres(?:ql)?:\/\//i.test(place)) return fromPostgres(place, schemas)
  return /\.(?:json|jsonl|ndjson)$/i.test(place) ? fromExport(place) : fromSqlite(place)
}
