/**
 * Separates shared statements from those in a caller's own transaction. A statement in a transaction must not be shared, because it has to
 * be rolled back with the transaction.
 *
 * @module
 */
import { Effect, Option } from "effect"
import type { SqlClient } from "effect/sql"

/** Runs the first outside of transactions of this client, and the second within one. */
export const outsideTransaction =
  (sql: SqlClient.SqlClient) =>
  <A, E, A2, E2>(outside: Effect.Effect<A, E>, within: Effect.Effect<A2, E2>): Effect.Effect<A | A2, E | E2> =>
    Effect.flatMap(Effect.serviceOption(sql.transactionService), (transaction): Effect.Effect<A | A2, E | E2> =>
      Option.isNone(transaction) ? outside : within
    )
