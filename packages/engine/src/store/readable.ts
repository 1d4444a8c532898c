/**
 * Reads many rows. A row that does not decode is left out and reported. The others are returned.
 *
 * @module
 */
import { Effect, Metric, Predicate, Result, Schema } from "effect"
import type { Page } from "../account/AccountStore.ts"

/** The number of rows that were left out because they do not decode. Each process counts a row once. */
export const unreadableRows = Metric.counter("rekindle.store.unreadable_rows", {
  description: "Rows left out because they do not decode",
  incremental: true
})

/** The maximum number of unreadable rows that a process reports. */
const reportedAtMost = 1_000

/** Makes the two functions that read many rows. A row that does not decode is reported once, under the name that `nameOf` returns. */
export const makeReadable = () => {
  const reported = new Set<string>()

  const report = Effect.fnUntraced(function* (name: string) {
    if (reported.has(name) || reported.size >= reportedAtMost) return
    reported.add(name)
    yield* Metric.update(unreadableRows, 1)
    // The report has only the name of the row, because the row may hold a secret.
    yield* Effect.logError("a row of the account store does not decode; it is left out", { row: name })
  })

  /** The rows that decode. */
  const rows = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, nameOf: (row: object) => string) => {
    const decode = Schema.decodeUnknownResult(schema)
    return Effect.fnUntraced(function* (rows: ReadonlyArray<object>) {
      const readable: Array<S["Type"]> = []
      for (const row of rows) {
        const decoded = decode(row)
        if (Result.isSuccess(decoded)) readable.push(decoded.success)
        else yield* report(nameOf(row))
      }
      return readable
    })
  }

  /** A page of at most `limit` rows. If `found` has one row more, there is a further page. */
  const page = <S extends Schema.ConstraintDecoder<unknown>, Place>(
    schema: S,
    place: Schema.ConstraintDecoder<Place>,
    nameOf: (row: object) => string
  ) => {
    const read = rows(schema, nameOf)
    const decodePlace = Schema.decodeUnknownEffect(place)
    return Effect.fnUntraced(function* <Item>(
      found: ReadonlyArray<object>,
      limit: number,
      itemOf: (row: S["Type"]) => Item
    ) {
      const within = found.slice(0, limit)
      const items = (yield* read(within)).map(itemOf)
      // The position is that of the last row, even if it does not decode. A page with fewer items is therefore not taken for the last one.
      const next = found.length > limit ? yield* decodePlace(within.at(-1)) : undefined
      return { items, unreadable: within.length - items.length, next } satisfies Page<Item, Place>
    })
  }

  return { rows, page }
}

/** Names a row by its table and its key. */
export const namedBy = (table: string, column: string) => (row: object) =>
  `${table}/${String(Predicate.hasProperty(row, column) ? row[column] : undefined)}`

/** Reads many rows. */
export type Readable = ReturnType<typeof makeReadable>
