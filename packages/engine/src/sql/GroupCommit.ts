/**
 * One durable commit for all writes that wait for one.
 *
 * With a single SQLite connection every commit is an `fsync`, and they queue. Writes that arrive while one is under way share the next
 * transaction, each in a savepoint of its own: a write that fails is undone alone, and nobody is told "done" before the commit is on
 * disk. Postgres does the same by itself across connections, so there each write is its own transaction.
 *
 * @module
 */
import { Deferred, Effect, Queue, type Scope } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** Runs a write, all of it or nothing, and returns when it is on disk. */
export type Durably = <A, E>(write: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>

/** What a queued write becomes once it ran: how to tell its caller, after the commit or instead of it. */
interface Pending {
  readonly run: Effect.Effect<Effect.Effect<unknown>>
  readonly fail: (error: SqlError.SqlError) => Effect.Effect<unknown>
}

/** Makes the runner for a client with one connection. */
export const make = (sql: SqlClient.SqlClient): Effect.Effect<Durably, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<Pending>()
    const commitGroup = Effect.flatMap(Queue.takeAll(queue), (group) =>
      sql.withTransaction(Effect.forEach(group, (pending) => pending.run)).pipe(
        Effect.matchEffect({
          onSuccess: (answers) => Effect.forEach(answers, (answer) => answer, { discard: true }),
          onFailure: (error) => Effect.forEach(group, (pending) => pending.fail(error), { discard: true })
        }),
        Effect.uninterruptible
      )
    )
    yield* Effect.forkScoped(Effect.forever(commitGroup))

    return <A, E>(write: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        const answer = yield* Deferred.make<A, E | SqlError.SqlError>()
        yield* Queue.offer(queue, {
          run: Effect.map(Effect.exit(sql.withTransaction(write)), (exit) => Deferred.done(answer, exit)),
          fail: (error) => Deferred.fail(answer, error)
        })
        return yield* Deferred.await(answer)
      })
  })
