import { assert, describe, it } from "@effect/vitest"
import { SqliteClient } from "@rekindle/engine"
import * as GroupCommit from "#engine/store/GroupCommit.ts"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { SqlClient } from "effect/sql"

/** A database with a table whose foreign key is checked at the commit, and a writer on it. */
const start = Effect.gen(function* () {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const context = yield* Layer.build(SqliteClient.layer(":memory:"))
  const sql = yield* Effect.provideContext(SqlClient.SqlClient, context)
  yield* sql`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`
  yield* sql`CREATE TABLE children (n INTEGER REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)`
  let commits = 0
  const { withTransaction } = sql
  const counted = Object.assign(sql, {
    withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) => {
      commits++
      return withTransaction(self)
    }
  })
  const { statement, transaction: durably } = yield* Scope.provide(GroupCommit.make(counted), scope)
  const insert = (n: number) => Effect.as(sql`INSERT INTO numbers (n) VALUES (${n})`, n)
  const numbers = Effect.map(sql`SELECT n FROM numbers ORDER BY n`, (rows) => rows.map((row) => Number(row["n"])))
  /** Holds the first group until the gate opens, so that later writes share the next group. */
  const gate = Effect.gen(function* () {
    const started = yield* Deferred.make<void>()
    const opened = yield* Deferred.make<void>()
    const first = yield* Effect.forkChild(
      durably(Effect.andThen(Deferred.succeed(started, undefined), Effect.andThen(Deferred.await(opened), insert(0))))
    )
    yield* Deferred.await(started)
    return { first, open: Deferred.succeed(opened, undefined) }
  })
  return {
    sql,
    commits: () => commits,
    durably,
    statement,
    insert,
    numbers,
    gate,
    close: Scope.close(scope, Exit.void)
  }
})

/** Queues the writes together, and opens the gate. */
const inOneGroup = Effect.fnUntraced(function* <A, E>(
  gate: { readonly open: Effect.Effect<unknown> },
  writes: ReadonlyArray<Effect.Effect<A, E>>
) {
  const fibers = yield* Effect.forEach(writes, (write) => Effect.forkChild(write, { startImmediately: true }))
  yield* gate.open
  return yield* Effect.forEach(fibers, (fiber) => Fiber.await(fiber))
})

describe("commits in groups", () => {
  it.effect("writes that are asked for in the same turn share one commit, though the database answers at once", () =>
    Effect.gen(function* () {
      const { commits, insert, numbers, statement } = yield* start
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        (n) => statement(insert(n)),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(yield* numbers, 20)
      assert.strictEqual(commits(), 1)
    })
  )

  it.effect("a write that fails is undone alone", () =>
    Effect.gen(function* () {
      const { durably, gate, insert, numbers, statement } = yield* start
      const exits = yield* inOneGroup(yield* gate, [
        durably(insert(1)),
        durably(Effect.andThen(insert(2), Effect.fail("no"))),
        durably(Effect.andThen(insert(3), insert(1))),
        statement(insert(1)),
        statement(insert(4)),
        durably(insert(5))
      ])
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, false, false, true, true])
      assert.deepStrictEqual(exits[1], Exit.fail("no"))
      assert.deepStrictEqual(yield* numbers, [0, 1, 4, 5])
    })
  )

  it.effect("a defect in a write reaches only its caller", () =>
    Effect.gen(function* () {
      const { durably, gate, insert, numbers } = yield* start
      const exits = yield* inOneGroup(yield* gate, [durably(Effect.die("broken")), durably(insert(1))])
      assert.deepStrictEqual(exits, [Exit.die("broken"), Exit.succeed(1)])
      assert.deepStrictEqual(yield* numbers, [0, 1])
    })
  )

  it.effect("a commit that fails fails for the whole group, and the next one works", () =>
    Effect.gen(function* () {
      const { durably, gate, insert, numbers, sql } = yield* start
      const exits = yield* inOneGroup(yield* gate, [
        durably(insert(1)),
        durably(Effect.as(sql`INSERT INTO children (n) VALUES (99)`, 99))
      ])
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, false])
      assert.isTrue(exits.every(Exit.hasFails))
      assert.deepStrictEqual(yield* numbers, [0])
      assert.strictEqual(yield* durably(insert(2)), 2)
      assert.deepStrictEqual(yield* numbers, [0, 2])
    })
  )

  it.effect("a caller who leaves does not stop the write", () =>
    Effect.gen(function* () {
      const { durably, gate, insert, numbers } = yield* start
      const opened = yield* gate
      const leaving = yield* Effect.forkChild(durably(insert(1)), { startImmediately: true })
      yield* Fiber.interrupt(leaving)
      yield* opened.open
      assert.strictEqual(yield* durably(insert(2)), 2)
      assert.deepStrictEqual(yield* numbers, [0, 1, 2])
    })
  )

  it.effect("closing lets the group at work finish and fails those who wait", () =>
    Effect.gen(function* () {
      const { close, durably, gate, insert, numbers } = yield* start
      const { first, open } = yield* gate
      const waiting = yield* Effect.forkChild(durably(insert(1)), { startImmediately: true })
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* open
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Fiber.join(first), 0)
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiting)))._tag, "SqlError")
      assert.strictEqual((yield* Effect.flip(durably(insert(2))))._tag, "SqlError")
      assert.deepStrictEqual(yield* numbers, [0])
    })
  )
})
