/**
 * A `SqlClient` over Node's own SQLite, with write-ahead logging and commits that survive a power cut (`synchronous = FULL`).
 *
 * Node's driver is synchronous: a statement blocks the event loop for the microseconds it takes, a commit for one `fsync`. One
 * connection serves the process. `@effect/sql-sqlite-node` has no release for this Effect yet; it replaces this file when it does.
 *
 * @module
 */
import { Context, Effect, Layer, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

/** How many prepared statements are kept. The store has a few dozen. */
const statementCacheSize = 200

const inputValue = (value: unknown): SQLInputValue =>
  value === null ||
  typeof value === "string" ||
  typeof value === "number" ||
  typeof value === "bigint" ||
  value instanceof Uint8Array
    ? value
    : typeof value === "boolean"
      ? Number(value)
      : String(value)

const make = (filename: string) =>
  Effect.gen(function* () {
    const opening = <A>(run: () => A) =>
      Effect.try({
        try: run,
        catch: (cause) =>
          new SqlError.SqlError({
            reason: SqlError.classifySqliteError(cause, { message: "cannot open the database", operation: "open" })
          })
      })
    const database = yield* Effect.acquireRelease(
      opening(() => new DatabaseSync(filename, { timeout: 5_000 })),
      (database) => Effect.sync(() => database.close())
    )
    yield* opening(() =>
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
    )

    const statements = new Map<string, StatementSync>()
    const prepare = (sql: string): StatementSync => {
      const known = statements.get(sql)
      if (known !== undefined) return known
      const statement = database.prepare(sql)
      if (statements.size >= statementCacheSize) statements.clear()
      statements.set(sql, statement)
      return statement
    }
    const attempt = <A>(operation: string, run: () => A) =>
      Effect.try({
        try: run,
        catch: (cause) =>
          new SqlError.SqlError({
            reason: SqlError.classifySqliteError(cause, { message: "the statement failed", operation })
          })
      })
    const all = (statement: StatementSync, params: ReadonlyArray<unknown>) => statement.all(...params.map(inputValue))
    const values = (statement: StatementSync, params: ReadonlyArray<unknown>) =>
      all(statement, params).map((row) => Object.values(row))

    const connection: SqlConnection.Connection = {
      execute: (sql, params, transformRows) =>
        attempt("execute", () => {
          const rows = all(prepare(sql), params)
          return transformRows ? transformRows(rows) : rows
        }),
      executeRaw: (sql, params) => attempt("execute", () => all(prepare(sql), params)),
      executeValues: (sql, params) => attempt("execute", () => values(prepare(sql), params)),
      executeValuesUnprepared: (sql, params) => attempt("execute", () => values(database.prepare(sql), params)),
      executeUnprepared: (sql, params, transformRows) =>
        attempt("execute", () => {
          const rows = all(database.prepare(sql), params)
          return transformRows ? transformRows(rows) : rows
        }),
      executeStream: () => Stream.die("streaming is not supported")
    }

    const semaphore = yield* Semaphore.make(1)
    const { acquirer, borrower, isTransaction, onCommitFailure, transactionAcquirer } = SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore,
      isTransaction: () => database.isTransaction
    })
    return yield* SqlClient.make({
      acquirer,
      borrower,
      transactionAcquirer,
      compiler: Statement.makeCompilerSqlite(),
      driver: "node-sqlite",
      spanAttributes: [["db.system.name", "sqlite"]],
      beginTransaction: "BEGIN IMMEDIATE",
      prepareTransactionControls: true,
      onCommitFailure,
      isTransaction,
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`
    })
  })

/** A database in a file, made if it is not there; `:memory:` for one that goes with the process. */
export const layer = (filename: string): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effectContext(Effect.map(make(filename), (client) => Context.make(SqlClient.SqlClient, client))).pipe(
    Layer.provide(Reactivity.layer)
  )
