/**
 * Statements for the management of accounts: lists, counts and removal.
 *
 * On Postgres, counts of the accounts of several auth configs that are asked for at the same time share a statement ({@link shareStatement}),
 * as a list of auth configs asks for them.
 *
 * @module
 */
import { Effect, Exit } from "effect"
import type { Statement } from "effect/sql"
import type { AccountQuery, AccountStore } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import {
  AccountPlaceRow,
  AccountRow,
  asStoreError,
  ConfigCountRow,
  configIdOf,
  configKey,
  CountRow,
  decodeAll,
  toAccount
} from "./rows.ts"
import { shareStatement } from "./sharedStatement.ts"

/** The statuses that are visible only while they are stored. */
const storedStatuses: ReadonlyArray<string> = ["ACTIVE", "INACTIVE", "REVOKED"]

/** Everything that a count is about but its auth configs and its time. */
const restOf = ({ authConfigIds: _configs, now: _now, ...rest }: AccountQuery): string => JSON.stringify(rest)

/** A count of the accounts of one auth config. */
const keyOf = (query: AccountQuery): string => `${query.authConfigIds?.join()} ${restOf(query)}`

export const makeManagement = ({ clock, isSqlite, readable, sql, transaction }: Database) => {
  /**
   * `visibleStatus` as an SQL expression. Two statuses end by time alone: that of a token that cannot be renewed, and that of an unused
   * link.
   */
  const visible = (now: number) => {
    const lasting = sql`CASE WHEN status = 'ACTIVE' AND status_reason IS NOT NULL
      AND (credential IS NULL OR expires_at <= ${now}) THEN 'EXPIRED' ELSE status END`
    return sql`CASE WHEN ${lasting} IN ('ACTIVE', 'INACTIVE', 'REVOKED') THEN ${lasting}
      WHEN consent_until > ${now} THEN 'INITIATED'
      WHEN status = 'INITIATED' THEN 'EXPIRED' ELSE ${lasting} END`
  }

  const failing = sql`(last_attempt IS NOT NULL OR status IN ('EXPIRED', 'FAILED')
    OR (status = 'ACTIVE' AND status_reason IS NOT NULL))`

  const conditions = ({
    aliases,
    authConfigIds,
    ids,
    isFailing,
    now,
    projectId,
    statuses,
    toolkits,
    userIds
  }: AccountQuery) => {
    const among = (column: Statement.Fragment, values: ReadonlyArray<string> | undefined) =>
      values === undefined ? [] : values.length === 0 ? [sql`1 = 0`] : [sql`${column} IN ${sql.in(values)}`]
    return [
      sql`project_id = ${projectId}`,
      ...among(sql`user_id`, userIds),
      ...among(
        sql`auth_config_id`,
        authConfigIds?.map((authConfigId) => configKey({ projectId, authConfigId }))
      ),
      ...among(sql`toolkit`, toolkits),
      ...among(sql`alias`, aliases),
      ...among(sql`public_id`, ids),
      ...among(visible(now), statuses),
      // The index has the stored status.
      ...(statuses?.every((status) => storedStatuses.includes(status)) === true ? among(sql`status`, statuses) : []),
      ...(isFailing === true ? [failing] : [])
    ]
  }

  const countAlone = (query: AccountQuery) =>
    sql`SELECT COUNT(*) AS count FROM rekindle_accounts WHERE ${sql.and(conditions(query))}`.pipe(
      Effect.flatMap(decodeAll(CountRow)),
      Effect.map(([row]) => row?.count ?? 0)
    )

  const countTogether = shareStatement<AccountQuery, number>(sql, {
    alone: countAlone,
    answersAll: true,
    key: keyOf,
    together: Effect.fnUntraced(function* (queries) {
      const [first] = queries
      if (first === undefined) return new Map()
      const alike = queries.filter((query) => restOf(query) === restOf(first))
      const authConfigIds = alike.flatMap(({ authConfigIds = [] }) => authConfigIds)
      const rows = yield* sql`SELECT auth_config_id, COUNT(*) AS count FROM rekindle_accounts
        WHERE ${sql.and(conditions({ ...first, authConfigIds }))} GROUP BY auth_config_id`.pipe(
        Effect.flatMap(decodeAll(ConfigCountRow))
      )
      const counts = new Map(rows.map((row) => [configIdOf(row.auth_config_id), row.count]))
      return new Map(
        alike.map((query) => [keyOf(query), Exit.succeed(counts.get(query.authConfigIds?.join() ?? "") ?? 0)])
      )
    })
  })

  const accounts = readable.page(AccountRow, AccountPlaceRow, namedBy("rekindle_accounts", "id"))

  return {
    list: ({ after, direction = "desc", limit, orderBy = "createdAt", ...query }) => {
      const column = sql.literal(orderBy === "createdAt" ? "created_at" : "updated_at")
      const [beyond, ordered] =
        direction === "asc" ? [sql.literal(">"), sql``] : [sql.literal("<"), sql.literal("DESC")]
      const further =
        after === undefined
          ? []
          : [
              sql`(${column} ${beyond} ${after[orderBy]} OR (${column} = ${after[orderBy]} AND id ${beyond} ${after.id}))`
            ]
      return sql`SELECT *, ${clock(query.now)} AS clock FROM rekindle_accounts
        WHERE ${sql.and([...conditions(query), ...further])}
        ORDER BY ${column} ${ordered}, id ${ordered} LIMIT ${limit + 1}`.pipe(
        Effect.flatMap((found) => accounts(found, limit, (row) => toAccount(row, query.now))),
        asStoreError
      )
    },

    count: (query) =>
      asStoreError(!isSqlite && query.authConfigIds?.length === 1 ? countTogether(query) : countAlone(query)),

    remove: ({ id }, now) =>
      transaction(
        Effect.gen(function* () {
          // The account is locked first, in the same order as when a consent attempt is added.
          const held =
            yield* sql`SELECT id FROM rekindle_accounts WHERE id = ${id}${isSqlite ? sql`` : sql` FOR UPDATE`}`
          if (held.length === 0) return false
          yield* sql`DELETE FROM rekindle_consent_attempts WHERE account_id = ${id}`
          yield* sql`DELETE FROM rekindle_idempotency_keys WHERE account_id = ${id}`
          yield* sql`DELETE FROM rekindle_accounts WHERE id = ${id}`
          yield* sql`INSERT INTO rekindle_removed_accounts ${sql.insert({ id, removed_at: now })}`
          return true
        })
      ).pipe(asStoreError),

    isRemoved: (id) =>
      sql`SELECT id FROM rekindle_removed_accounts WHERE id = ${id}`.pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      )
  } satisfies Partial<AccountStore["Service"]>
}
