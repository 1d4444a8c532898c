/**
 * A `SqlClient` over Node's own SQLite, with write-ahead logging and commits that survive a power cut (`synchronous = FULL`).
 *
 * Node's driver is synchronous. A statement blocks the event loop for microseconds, and a commit for one `fsync`. One connection serves the
 * process. `@effect/sql-sqlite-node` will replace this file when it has a release for this version of Effect.
 *
 * **Gotchas**
 *
 * SQLite's own wait for a lock blocks the event loop, so it is switched off. While another process holds the write lock, a transaction is
 * retried for at most 5 seconds, and the rest of this process continues.
 *
 * A process can still write to a file that was deleted or replaced while it has the file open. So the path is checked once a second and
 * before each transaction. While it leads to another file or to none, every statement fails.
 *
 * @module
 */
import { Context, Duration, Effect, Layer, Metric, Predicate, Schedule, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite"
import * as DatabaseFile from "./databaseFile.ts"

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

/** 1 while the path of the database leads to another file than the one that was opened, or to none. */
export const fileLost = Metric.gauge("rekindle.sqlite.file_lost", {
  description: "1 while the database file is deleted or replaced"
})

/** How often the path of the file is checked. */
const checkInterval = Duration.seconds(1)

const beginTransaction = "BEGIN IMMEDIATE"

/** The options of a SQLite client. */
export interface SqliteOptions {
  /** Whether a missing file is created. Default true. Tools that work on an existing database set it to false. */
  readonly create?: boolean | undefined
}

/** The reason of an error, from SQLite's result code. Node reports the code in `errcode`, and Effect reads `errno`. */
const reasonOf = (cause: unknown, options: { readonly message: string; readonly operation: string }) =>
  SqlError.classifySqliteError(
    cause instanceof Error && "errcode" in cause ? Object.assign(cause, { errno: cause.errcode }) : cause,
    options
  )

/** SQLite's words for a result code. They name no value, unlike the message of an error. */
const codeInWords = (cause: unknown): string =>
  Predicate.hasProperty(cause, "errstr") && typeof cause.errstr === "string" ? cause.errstr : "unknown error"

const isLocked = ({ reason }: SqlError.SqlError): boolean => reason._tag === "LockTimeoutError"

/** The retries while another process holds the lock: how often, and for how long. */
const untilUnlocked = Schedule.exponential("2 millis").pipe(
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.millis(100)))),
  Schedule.jittered,
  Schedule.upTo({ duration: "5 seconds" })
)

const whileLocked = <A, E, R>(effect: Effect.Effect<A, E | SqlError.SqlError, R>) =>
  Effect.retry(effect, {
    while: (error: E | SqlError.SqlError) => SqlError.isSqlError(error) && isLocked(error),
    schedule: untilUnlocked
  })

const make = (filename: string, { create = true }: SqliteOptions) =>
  Effect.gen(function* () {
    const opening = <A>(run: () => A) =>
      Effect.try({
        try: run,
        catch: (cause) =>
          new SqlError.SqlError({
            reason: reasonOf(cause, {
              message: `cannot open the database ${filename}: ${cause instanceof Error ? cause.message : "unknown"}`,
              operation: "open"
            })
          })
      })
    const file = yield* opening(() => DatabaseFile.prepare(filename, create))
    const database = yield* Effect.acquireRelease(
      opening(() => new DatabaseSync(filename, { timeout: 0 })),
      (database) => Effect.sync(() => database.close())
    )
    yield* whileLocked(
      opening(() => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"))
    )

    let lost = false
    if (file !== undefined) {
      const checkFile = Effect.suspend(() => {
        const before = lost
        lost = !DatabaseFile.isInPlace(file)
        return Effect.andThen(
          Metric.update(fileLost, lost ? 1 : 0),
          lost === before
            ? Effect.void
            : lost
              ? Effect.logError("the database file was deleted or replaced; nothing is renewed", { file: file.path })
              : Effect.logInfo("the database file is back", { file: file.path })
        )
      })
      yield* Effect.forkScoped(Effect.repeat(checkFile, Schedule.spaced(checkInterval)))
    }
    /** Throws if the file is lost, because what is written to a deleted file is lost too. */
    const failIfLost = (sql: string): void => {
      if (file === undefined || !(lost || (sql === beginTransaction && !DatabaseFile.isInPlace(file)))) return
      throw new SqlError.SqlError({
        reason: new SqlError.ConnectionError({
          message: `the database file ${file.path} was deleted or replaced`,
          operation: "file",
          cause: undefined
        })
      })
    }

    return yield* over(database, failIfLost)
  })

/** What the client uses of an open database. `DatabaseSync` has it. */
export interface OpenDatabase {
  readonly isTransaction: boolean
  readonly prepare: (sql: string) => PreparedStatement
}

/** A prepared statement of an {@link OpenDatabase}. */
export interface PreparedStatement {
  readonly all: (...values: Array<SQLInputValue>) => Array<Record<string, SQLOutputValue>>
}

/** A client over an open database. `check` is called before each statement, and may throw. */
const over = (database: OpenDatabase, check: (sql: string) => void = () => {}) =>
  Effect.gen(function* () {
    const statements = new Map<string, PreparedStatement>()
    const prepare = (sql: string): PreparedStatement => {
      const known = statements.get(sql)
      if (known !== undefined) return known
      const statement = database.prepare(sql)
      if (statements.size >= statementCacheSize) statements.clear()
      statements.set(sql, statement)
      return statement
    }
    const attempt = <A>(operation: string, sql: string, run: () => A) => {
      const once = Effect.try({
        try: () => {
          check(sql)
          return run()
        },
        catch: (cause) =>
          SqlError.isSqlError(cause)
            ? cause
            : new SqlError.SqlError({
                reason: reasonOf(cause, { message: `the statement failed: ${codeInWords(cause)}`, operation })
              })
      })
      // A transaction is retried as a whole, so that other fibers can use the connection meanwhile.
      return sql === beginTransaction ? once : whileLocked(once)
    }
    const all = (statement: PreparedStatement, params: ReadonlyArray<unknown>) =>
      statement.all(...params.map(inputValue))
    const values = (statement: PreparedStatement, params: ReadonlyArray<unknown>) =>
      all(statement, params).map((row) => Object.values(row))

    const connection: SqlConnection.Connection = {
      execute: (sql, params, transformRows) =>
        attempt("execute", sql, () => {
          const rows = all(prepare(sql), params)
          return transformRows ? transformRows(rows) : rows
        }),
      executeRaw: (sql, params) => attempt("execute", sql, () => all(prepare(sql), params)),
      executeValues: (sql, params) => attempt("execute", sql, () => values(prepare(sql), params)),
      executeValuesUnprepared: (sql, params) => attempt("execute", sql, () => values(database.prepare(sql), params)),
      executeUnprepared: (sql, params, transformRows) =>
        attempt("execute", sql, () => {
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
    const client = yield* SqlClient.make({
      acquirer,
      borrower,
      transactionAcquirer,
      compiler: Statement.makeCompilerSqlite(),
      driver: "node-sqlite",
      spanAttributes: [["db.system.name", "sqlite"]],
      beginTransaction,
      prepareTransactionControls: true,
      onCommitFailure,
      isTransaction,
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`
    })
    const { withTransaction } = client
    return Object.assign(client, {
      withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) => whileLocked(withTransaction(self))
    })
  })

/**
 * A database in a file, which is created if it is missing. `:memory:` is a database that ends with the process.
 *
 * Only this user can read and write the file and the files that SQLite creates beside it. Fails if the directory does not exist or other
 * users can write to it; the error names the file and the reason.
 */
export const layer = (
  filename: string,
  options: SqliteOptions = {}
): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effectContext(Effect.map(make(filename, options), (client) => Context.make(SqlClient.SqlClient, client))).pipe(
    Layer.provide(Reactivity.layer)
  )

/**
 * A database that is open already, such as one in memory that outlives the client. Its owner sets its pragmas, of which the store needs
 * `foreign_keys = ON`, and closes it.
 */
export const layerDatabase = (database: OpenDatabase): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effectContext(Effect.map(over(database), (client) => Context.make(SqlClient.SqlClient, client))).pipe(
    Layer.provide(Reactivity.layer)
  )
