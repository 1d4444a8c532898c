/**
 * Reading many rows when one of them is bad: it is left out and reported, and stops nobody else.
 *
 * @module
 */
import { Effect, Metric, Predicate, Result, Schema } from "effect"

/** Rows that were left out because they do not decode, each counted once by each process. */
export const unreadableRows = Metric.counter("rekindle.store.unreadable_rows", {
  description: "Rows left out because they do not decode",
  incremental: true
})

/** How many unreadable rows a process remembers to have reported. */
const reportedAtMost = 1_000

/** Decodes rows one by one. A row that does not decode is left out, and reported once by the name that `nameOf` gives it. */
export const makeReadable = () => {
  const reported = new Set<string>()
  return <S extends Schema.ConstraintDecoder<unknown>>(schema: S, nameOf: (row: object) => string) => {
    const decode = Schema.decodeUnknownResult(schema)
    return Effect.fnUntraced(function* (rows: ReadonlyArray<object>) {
      const readable: Array<S["Type"]> = []
      for (const row of rows) {
        const decoded = decode(row)
        if (Result.isSuccess(decoded)) {
          readable.push(decoded.success)
          continue
        }
        const name = nameOf(row)
        if (reported.has(name) || reported.size >= reportedAtMost) continue
        reported.add(name)
        yield* Metric.update(unreadableRows, 1)
        // The name alone: what does not decode may hold a secret.
        yield* Effect.logError("a row of the account store does not decode; it is left out", { row: name })
      }
      return readable
    })
  }
}

/** Names a row by its table and its key. */
export const namedBy = (table: string, column: string) => (row: object) =>
  `${table}/${String(Predicate.hasProperty(row, column) ? row[column] : undefined)}`

/** Decodes rows; those that do not decode are left out. */
export type Readable = ReturnType<typeof makeReadable>
