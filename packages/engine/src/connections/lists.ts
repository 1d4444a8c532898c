/**
 * Finding accounts: by person and auth config, page by page, and how many there are.
 *
 * @module
 */
import {
  type AccountFilter,
  ConnectedAccountId,
  CurrentProject,
  type KnownStatus,
  type ListOptions
} from "@rekindle/core"
import { Clock, Effect, Option, Schema } from "effect"
import { storeDown } from "../renewal/renewal.ts"
import type { Accounts } from "./accounts.ts"
import { makePaging } from "./paging.ts"

const paging = makePaging(Schema.Struct({ createdAt: Schema.Int, id: ConnectedAccountId }))

/** Makes `find`, `list` and `count`. */
export const makeLists = ({ store, view }: Accounts) => {
  const queryOf = (filter: AccountFilter) =>
    Effect.gen(function* () {
      const { authConfigIds, ids, statuses, toolkits, userIds } = filter
      const projectId = yield* CurrentProject
      return { authConfigIds, ids, now: yield* Clock.currentTimeMillis, projectId, statuses, toolkits, userIds }
    })

  const listed = (filter: AccountFilter, page: Pick<Parameters<typeof store.list>[0], "after" | "limit">) =>
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
      const newest = (statuses?: ReadonlyArray<KnownStatus>) => listed({ ...ofUser, statuses }, { limit: 1 })
      const [inService] = yield* newest(["ACTIVE"])
      const [any] = inService === undefined ? yield* newest() : [inService]
      return any === undefined ? Option.none() : Option.some(yield* view(any))
    }),

    list: Effect.fnUntraced(function* ({ cursor, limit, ...filter }: ListOptions = {}) {
      const page = yield* paging.read({ cursor, limit })
      const rows = yield* listed(filter, { after: page.after, limit: page.limit + 1 })
      const { items, nextCursor } = paging.write(rows, page.limit)
      return { items: yield* Effect.forEach(items, view), nextCursor }
    }),

    count: (filter: AccountFilter = {}) =>
      Effect.flatMap(queryOf(filter), (query) => Effect.mapError(store.count(query), storeDown))
  }
}
