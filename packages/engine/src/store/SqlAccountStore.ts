/**
 * The account store on `effect/sql`. The same statements serve SQLite and Postgres; where they differ, the difference is named.
 *
 * Machines' clocks differ, and one that runs ahead must not take a lease that still holds. So on Postgres leases and intents run on the
 * database's clock, and whoever reads an account gets their times in terms of its own. On SQLite everybody shares one machine's clock.
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
 * The account store on whatever `SqlClient` is there, its tables migrated first. Several processes may start on one Postgres at once:
 * those that find the migrations being run wait and look again.
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
