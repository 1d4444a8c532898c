/**
 * Checks at the start whether a SQLite database was restored from an older snapshot, and maintains its mark.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { StoreError } from "../account/AccountStore.ts"
import * as RestoreMark from "./restoreMark.ts"
import { asStoreError, decodeAll, Int, MaybeText } from "./rows.ts"

const DatabaseRow = Schema.Struct({ id: Schema.String, leases: Int, file: MaybeText })

/** Checks a SQLite database against its mark, and returns the function that maintains the mark. A database in memory has none. */
export const watchForRestore = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  doubtAll: Effect.Effect<number, StoreError>
) {
  const [known] = yield* sql`SELECT id, leases, (SELECT file FROM pragma_database_list WHERE name = 'main') AS file
    FROM rekindle_database`.pipe(Effect.flatMap(decodeAll(DatabaseRow)), asStoreError)
  const file = known?.file ?? ""
  if (known === undefined || file === "") return () => Effect.void
  const path = `${file}.mark`
  const attempt = <A>(run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) => new StoreError({ message: `the mark ${path} of the database cannot be used`, cause })
    })
  let opened: ReturnType<typeof RestoreMark.open> | undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => opened?.close()))
  const note = (leases: number) =>
    attempt(() => {
      opened ??= RestoreMark.open(path)
      opened.set({ databaseId: known.id, leases })
    })
  const compare = Effect.gen(function* () {
    const mark = yield* attempt(() => RestoreMark.read(path))
    // The count is read after the mark, because another process may have taken leases meanwhile.
    const [now = known] = yield* sql`SELECT id, leases, NULL AS file FROM rekindle_database`.pipe(
      Effect.flatMap(decodeAll(DatabaseRow)),
      asStoreError
    )
    return {
      leases: now.leases,
      mark,
      isBehind: RestoreMark.isBehind({ databaseId: now.id, leases: now.leases }, mark)
    }
  })
  const first = yield* compare
  // Another process may have been creating or changing the mark while it was read, so it is read again.
  const { isBehind, leases, mark } = first.isBehind ? yield* compare : first
  if (isBehind) {
    const accounts = yield* doubtAll
    yield* Effect.logWarning("the database is older than its mark, or has no mark; its tokens may be spent", {
      file,
      accounts
    })
  }
  // The mark is written before the first lease, so that a process that starts while another one takes a lease finds a mark.
  if (isBehind || mark === undefined) yield* note(leases)
  let failing = false
  return (leases: number) =>
    note(leases).pipe(
      Effect.catch(({ message }) => {
        if (failing) return Effect.void
        failing = true
        return Effect.logWarning(`${message}; a restore of an older snapshot will not be noticed`)
      })
    )
})
