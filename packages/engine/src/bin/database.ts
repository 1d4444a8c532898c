/**
 * The database of a command: an existing SQLite file, or Postgres.
 *
 * @module
 */
import { Config, Effect, Layer, Option } from "effect"
import { Flag } from "effect/cli"
import * as SqlAccountStore from "../store/SqlAccountStore.ts"
import * as SqliteClient from "../store/SqliteClient.ts"

/** `--sqlite <file>`. */
export const sqlite = Flag.String("sqlite").pipe(
  Flag.withDescription("an existing SQLite file; by default the Postgres of REKINDLE_DATABASE_URL"),
  Flag.optional
)

// The Postgres client is an optional peer, so it is imported only if it is needed.
const postgres = Layer.unwrap(
  Effect.gen(function* () {
    const url = yield* Config.Redacted("REKINDLE_DATABASE_URL")
    const { layer } = yield* Effect.promise(() => import("@effect/sql-pg/PgClient"))
    return layer({ url })
  })
)

/** The account store on the database. A missing file is an error and is not created. */
export const store = (sqlite: Option.Option<string>) =>
  SqlAccountStore.layer.pipe(
    Layer.provide(
      Option.match(sqlite, {
        onNone: () => postgres,
        onSome: (file) => SqliteClient.layer(file, { create: false })
      })
    )
  )
