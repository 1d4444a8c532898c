/**
 * One durable commit for all writes that wait for one.
 *
 * On a single SQLite connection every commit is an `fsync`, and commits queue. Writes that arrive during a commit share the next transaction.
 * Each is rolled back alone if it fails, and no caller gets its result before the commit is on disk. Postgres groups commits by itself across
 * connections, so there each write is its own transaction.
 *
 * @module
 */
import { Cause, Deferred, Effect, Exit, Option, Queue, type Scope } from "effect"
import { type SqlClient, SqlError } from "effect/sql"
import { outsideTransaction } from "./outsideTransaction.ts"

/** Runs a write atomically, and returns when it is on disk. Within a transaction of the caller, it is a part of that transaction. */
export type Durably = <A, E>(write: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>

/** Both kinds of write. A single statement is all or nothing by itself and needs no savepoint. */
export interface Writer {
  readonly transaction: Durably
  readonly statement: Durably
}

/**
 * A queued write. `run` performs it, and returns the effect that gives the caller its result after the commit. `fail` gives the caller an
 * error instead.
 */
interface Pending {
  readonly run: Effect.Effect<Effect.Effect<unknown>>
  readonly fail: (error: SqlError.SqlError) => Effect.Effect<unknown>
}

const closed = () =>
  new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ message: "the database is closed", operation: "commit", cause: undefined })
  })

/** The error of a failed commit. The client reports a commit that could not be rolled back as a defect. For the callers it is a failure. */
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

/** Makes the writer for a client with one connection. Writes that still wait when the scope closes fail. */
export const make = (sql: SqlClient.SqlClient): Effect.Effect<Writer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<Pending>()
    let open = true
    const failAll = (group: ReadonlyArray<Pending>, error: SqlError.SqlError) =>
      Effect.forEach(group, (pending) => pending.fail(error), { discard: true })

    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        Effect.sync(() => {
          open = false
        }),
        Effect.flatMap(Queue.clear(queue), (group) => failAll(group, closed()))
      )
    )

    const commitGroup = Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const group = yield* restore(Queue.takeAll(queue))
        const exit = yield* Effect.exit(sql.withTransaction(Effect.forEach(group, (pending) => pending.run)))
        yield* Exit.isSuccess(exit)
          ? Effect.forEach(exit.value, (answer) => answer, { discard: true })
          : failAll(group, commitError(exit.cause))
      })
    )
    yield* Effect.forkScoped(Effect.forever(commitGroup))

    const share = <A, E>(write: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError.SqlError> =>
      Effect.suspend(() => {
        if (!open) return Effect.fail(closed())
        const answer = Deferred.makeUnsafe<A, E | SqlError.SqlError>()
        Queue.offerUnsafe(queue, {
          run: Effect.map(Effect.exit(write), (exit) => Deferred.done(answer, exit)),
          fail: (error) => Deferred.fail(answer, error)
        })
        return Deferred.await(answer)
      })

    const inCommon = outsideTransaction(sql)
    return {
      transaction: (write) => inCommon(share(sql.withTransaction(write)), sql.withTransaction(write)),
      statement: (write) => inCommon(share(write), write)
    }
  })
