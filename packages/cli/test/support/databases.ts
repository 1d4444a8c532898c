/**
 * Empty databases for tests: SQLite files, or databases of one Postgres.
 *
 * @module
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { SqlClient } from "effect/sql"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { clientOf, type Place } from "../../../engine/test/support/Place.ts"
import { Postgres } from "../../../engine/test/support/Postgres.ts"
import { migrate } from "#cli/store/migrations.ts"

/** Makes an empty database. */
export class Databases extends Context.Service<
  Databases,
  { readonly make: Effect.Effect<Place, never, Scope.Scope> }
>()("@rekindle/cli/test/Databases") {
  static readonly sqlite = Layer.succeed(Databases, {
    make: Effect.map(
      Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-cli-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
      ),
      (folder) => ({ filename: join(folder, "rekindle.db") })
    )
  })
  static readonly postgres = Layer.effect(
    Databases,
    Effect.map(Postgres, ({ database }) => ({ make: database }))
  ).pipe(Layer.provide(Postgres.layer))
}

/** A connection of its own, as another process would have, with the tables of the service. */
export const connect = (place: Place): Layer.Layer<SqlClient.SqlClient> =>
  Layer.fresh(Layer.provideMerge(Layer.effectDiscard(migrate), clientOf(place))).pipe(Layer.orDie)
