/**
 * Cursors of a list. A cursor holds the position of the last item, so an item that is added or removed meanwhile neither repeats nor hides
 * another.
 *
 * @module
 */
import { InvalidRequest, type PageOptions } from "@rekindle/core"
import { Effect, Option, Schema } from "effect"

const defaultLimit = 50
const largestLimit = 500

/** Makes the cursors of a list from the schema of its positions. */
export const makePaging = <Place>(place: Schema.Codec<Place, unknown>) => {
  const Cursor = Schema.StringFromBase64Url.pipe(Schema.decodeTo(Schema.fromJsonString(place)))
  const decode = Schema.decodeUnknownOption(Cursor)
  const encode = Schema.encodeSync(Cursor)
  return {
    /** The start of the page, and the number of items. */
    read: Effect.fnUntraced(function* ({ cursor, limit = defaultLimit }: PageOptions) {
      if (!Number.isInteger(limit) || limit < 1 || limit > largestLimit) {
        return yield* new InvalidRequest({
          message: `limit has to be a whole number from 1 to ${largestLimit}`,
          slug: "invalid_limit"
        })
      }
      const after = cursor === undefined ? Option.none() : decode(cursor)
      if (cursor !== undefined && Option.isNone(after)) {
        return yield* new InvalidRequest({ message: "the cursor is not one of this list", slug: "invalid_cursor" })
      }
      return { after: Option.getOrUndefined(after), limit }
    }),
    /** The cursor of the next page. */
    cursorOf: (next: Place | undefined) => (next === undefined ? undefined : encode(next))
  }
}
