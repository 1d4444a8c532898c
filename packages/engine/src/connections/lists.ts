/**
 * Finds accounts by user and auth config, lists them page by page, and counts them.
 *
 * @module
 */
import { type AccountFilter, CurrentProject, type KnownStatus, type ListOptions } from "@rekindle/core"
import { Clock, Effect, Option, Schema, Stream } from "effect"
import type { AccountPlace, AccountQuery } from "../account/AccountStore.ts"
import { pages } from "../account/pages.ts"
import { storeDown } from "../renewal/renewal.ts"
import type { Accounts } from "./accounts.ts"
import { makePaging } from "./paging.ts"

/** The cursors of one order. A cursor of another order is refused. */
const pagingOf = (order: string) =>
  makePaging(
    Schema.Struct({
      order: Schema.Literal(order),
      createdAt: Schema.Int,
      updatedAt: Schema.Int,
      id: Schema.String
    })
  )

/** Makes `find`, `list` and `count`. */
export const makeLists = ({ store, view }: Accounts) => {
  const queryOf = (filter: AccountFilter) =>
    Effect.gen(function* () {
      const { authConfigIds, ids, statuses, toolkits, userIds } = filter
      const projectId = yield* CurrentProject
      return { authConfigIds, ids, now: yield* Clock.currentTimeMillis, projectId, statuses, toolkits, userIds }
    })

  const listed = (filter: AccountFilter, page: Omit<Parameters<typeof store.list>[0], keyof AccountQuery>) =>
    Effect.flatMap(queryOf(filter), (query) => Effect.mapError(store.list({ ...query, ...page }), storeDown))

  return {
    find: Effect.fnUntraced(function* ({
      authConfigId,
      userId
    }: {
      readonly userId: string
      readonly authConfigId: string
    }) {
      const ofUser = { userIds: [userId], authConfigIds: [authConfigId] }
      // An account that does not decode must not hide older ones.
      const newest = (statuses?: ReadonlyArray<KnownStatus>) =>
        pages((after: AccountPlace | undefined) => listed({ ...ofUser, statuses }, { after, limit: 1 })).pipe(
          Stream.flatMap(({ items }) => Stream.fromIterable(items)),
          Stream.runHead
        )
      const found = yield* Effect.flatMap(newest(["ACTIVE"]), (inService) =>
        Option.isSome(inService) ? Effect.succeed(inService) : newest()
      )
      return Option.isSome(found) ? Option.some(yield* view(found.value)) : Option.none()
    }),

    list: Effect.fnUntraced(function* ({
      cursor,
      direction = "desc",
      limit,
      orderBy = "createdAt",
      ...filter
    }: ListOptions = {}) {
      const order = `${orderBy} ${direction}`
      const paging = pagingOf(order)
      const page = yield* paging.read({ cursor, limit })
      const { items, next } = yield* listed(filter, { ...page, direction, orderBy })
      return {
        items: yield* Effect.forEach(items, view),
        nextCursor: paging.cursorOf(next === undefined ? undefined : { ...next, order })
      }
    }),

    count: (filter: AccountFilter = {}) =>
      Effect.flatMap(queryOf(filter), (query) => Effect.mapError(store.count(query), storeDown))
  }
}
