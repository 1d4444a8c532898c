/**
 * The account store on `effect/sql`. Most statements are the same on SQLite and Postgres. The others are selected by dialect.
 *
 * Leases and intents on Postgres use the database's clock, because a machine whose clock is ahead must not take a lease that still holds. A
 * reader gets their times converted to its own clock. On SQLite all processes share the machine's clock.
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
 * The account store on any `SqlClient`. It migrates the tables first. If several processes start on one Postgres at the same time, one runs
 * the migrations and the others wait for it.
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
