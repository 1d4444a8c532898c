/**
 * The account store on `effect/sql`. The same statements serve SQLite and Postgres; where they differ, the difference is named.
 *
 * Clocks differ between machines, and a machine whose clock is ahead must not take a lease that still holds. So on Postgres leases and
 * intents use the database's clock. A reader gets their times converted to its own clock. On SQLite all processes share the machine's clock.
 *
 * @module
 */
import { Effect, Layer, Schedule } from "effect"
import type { Migrator, SqlClient, SqlError } from "effect/sql"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import { makeAccounts } from "./accounts.ts"
import { makeConfigs } from "./configs.ts"
import * as Database from "./database.ts"
import { makeDue } from "./due.ts"
import { makeExpiring } from "./expiring.ts"
import { makeManagement } from "./management.ts"
import { migrate } from "./migrations.ts"
import { makeOutbox } from "./outbox.ts"
import { makeSealed } from "./sealed.ts"

export { unreadableRows } from "./readable.ts"

const make = Effect.gen(function* () {
  const database = yield* Database.make
  const { insertAttempt, ...expiring } = makeExpiring(database)
  return AccountStore.of({
    ...(yield* makeAccounts(database, insertAttempt)),
    ...makeConfigs(database),
    ...makeDue(database),
    ...makeManagement(database),
    ...expiring,
    ...makeOutbox(database),
    ...makeSealed(database)
  })
})

/**
 * The account store on any `SqlClient`. It migrates the tables first. Several processes may start on one Postgres at once: one runs the
 * migrations, and the others wait for it.
 */
export const layer: Layer.Layer<
  AccountStore,
  Migrator.MigrationError | SqlError.SqlError | StoreError,
  SqlClient.SqlClient
> = Layer.effect(
  AccountStore,
  Effect.andThen(
    Effect.retry(migrate, {
      while: (error) => error._tag === "MigrationError" && error.kind === "Locked",
      schedule: Schedule.spaced("100 millis"),
      times: 50
    }),
    make
  )
)
