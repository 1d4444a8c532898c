/**
 * One durable commit for all writes that wait for one.
 *
 * With a single SQLite connection every commit is an `fsync`, and they queue. Writes that arrive while one is under way share the next
 * transaction, each undone alone if it fails, and nobody is told "done" before the commit is on disk. Postgres does the same by itself
 * across connections, so there each write is its own transaction.
 *
 * @module
 */
import { Cause, Effect, Exit, Option, type Scope } from "effect"
import { type SqlClient, SqlError } from "effect/sql"
import { gather } from "./gather.ts"
import { outsideTransaction } from "./outsideTransaction.ts"

/** Runs a write, all of it or nothing, and returns when it is on disk. Within a transaction of the caller it is part of that. */
export type Durably = <A, E>(write: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>

/** Both kinds of write. A single statement is all or nothing by itself and needs no savepoint. */
export interface Writer {
  readonly transaction: Durably
  readonly statement: Durably
}

const closed = () =>
  new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ message: "the database is closed", operation: "commit", cause: undefined })
  })

/** A commit that could not even be undone is a defect to the client; to those who wait for it, it is a commit that failed. */
const commitError = (cause: Cause.Cause<SqlError.SqlError>) =>
  Option.getOrElse(
    Cause.findErrorOption(cause),
    () =>
      new SqlError.SqlError({
        reason: new SqlError.UnknownError({
          message: "the commit failed",
          operation: "commit",
          cause: Cause.squash(cause)
        })
      })
  )

/** Makes the runner for a client with one connection. Writes still waiting when the scope closes fail. */
export const make = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient
): Effect.fn.Return<Writer, never, Scope.Scope> {
  let open = true
  const { ask, settled } = gather<Effect.Effect<void>, void, SqlError.SqlError>((group) =>
    Effect.exit(
      Effect.suspend(() =>
        open
          ? sql.withTransaction(Effect.forEach(group, ({ input }) => input, { discard: true }))
          : Effect.fail(closed())
      )
    ).pipe(
      Effect.map((exit) => {
        const answer = Exit.isSuccess(exit) ? exit : Exit.fail(commitError(exit.cause))
        for (const member of group) member.answer(answer)
        return Effect.void
      })
    )
  )
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      open = false
      return settled
    })
  )

  const share = <A, E>(write: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError.SqlError> =>
    Effect.suspend(() => {
      if (!open) return Effect.fail(closed())
      let answer: Exit.Exit<A, E> = Exit.die("a write that was not run")
      const run = Effect.map(Effect.exit(write), (exit) => {
        answer = exit
      })
      return Effect.flatMap(ask(run), () => answer)
    })
  const inCommon = outsideTransaction(sql)
  return {
    transaction: (write) => inCommon(share(sql.withTransaction(write)), sql.withTransaction(write)),
    statement: (write) => inCommon(share(write), write)
  }
})
