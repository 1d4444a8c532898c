/**
 * Pages as the contract has them: the items, the cursor of the next page, and where this page is among all.
 *
 * A list of core has only cursors. The cursor of the contract carries the number of its page in front of core's.
 *
 * @module
 */
import { InvalidRequest, type Page, type PageOptions } from "@rekindle/core"
import { Effect, Schema } from "effect"

/** A page of `items`. */
export const pageOf = <S extends Schema.Top>(items: S) =>
  Schema.Struct({
    items: Schema.Array(items),
    next_cursor: Schema.NullOr(Schema.String),
    total_pages: Schema.Int,
    current_page: Schema.Int,
    total_items: Schema.Int
  })

/** Core reads at most this many items at once. A client may ask for 1,000 and gets the rest on the next page. */
const largestLimit = 500
const defaultLimit = 50

interface Place {
  readonly number: number
  readonly cursor: string | undefined
}

const placeOf = (cursor: string | undefined): Effect.Effect<Place, InvalidRequest> => {
  if (cursor === undefined || cursor === "") return Effect.succeed({ number: 1, cursor: undefined })
  const [, number, rest] = /^([1-9]\d{0,8})\.(.+)$/.exec(cursor) ?? []
  return rest === undefined
    ? Effect.fail(new InvalidRequest({ message: "the cursor is not one of this list", slug: "invalid_cursor" }))
    : Effect.succeed({ number: Number(number), cursor: rest })
}

/** Reads the page that the query names. */
export const paged = Effect.fnUntraced(function* <A, E, E2>(
  query: { readonly cursor?: string; readonly limit?: string },
  read: (options: Required<PageOptions>) => Effect.Effect<Page<A>, E>,
  count: Effect.Effect<number, E2>
) {
  const { cursor, number } = yield* placeOf(query.cursor)
  const limit = Math.min(Number(query.limit ?? "") || defaultLimit, largestLimit)
  const { items, nextCursor } = yield* read({ cursor, limit })
  const total = yield* count
  return {
    items,
    next_cursor: nextCursor === undefined ? null : `${number + 1}.${nextCursor}`,
    total_pages: Math.ceil(total / limit),
    current_page: number,
    total_items: total
  }
})
