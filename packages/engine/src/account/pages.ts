/**
 * Lists that are read page by page.
 *
 * @module
 */
import { Effect, Option, Stream } from "effect"
import type { Page } from "./AccountStore.ts"

/** All pages of a list, or those after a position. Each is read on demand. */
export const pages = <Item, Place, E>(
  read: (after: Place | undefined) => Effect.Effect<Page<Item, Place>, E>,
  start?: Place
): Stream.Stream<Page<Item, Place>, E> =>
  Stream.paginate<Place | undefined, Page<Item, Place>, E>(start, (after) =>
    Effect.map(read(after), (page) => [[page], Option.fromUndefinedOr(page.next)] as const)
  )
