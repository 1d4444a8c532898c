/**
 * Statements about many accounts: the due ones, those that a crash left behind, and their numbers.
 *
 * @module
 */
import { Effect } from "effect"
import type { AccountStore } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import {
  AbandonedPlaceRow,
  AbandonedRow,
  asStoreError,
  configKey,
  configRefOf,
  CountRow,
  decodeAll,
  DueConfigRow,
  DueRow,
  SpanRow,
  StatusCountRow
} from "./rows.ts"

const accountName = namedBy("rekindle_accounts", "id")

export const makeDue = ({ clock, isSqlite, readable, sql, statement, transaction }: Database) => {
  const underWay = sql.literal(
    "intent_since IS NOT NULL AND lease_owner IS NOT NULL AND status NOT IN ('INACTIVE', 'REVOKED')"
  )

  const claimed = readable.rows(DueRow, accountName)
  const abandoned = readable.page(AbandonedRow, AbandonedPlaceRow, accountName)

  return {
    // A failing account has a last attempt. A dead credential that is tried again has a due time.
    resume: ({ config, now }) =>
      statement(sql`UPDATE rekindle_accounts SET last_attempt = NULL,
        renew_at = CASE WHEN renew_at > ${now} THEN CAST(${now} AS BIGINT) ELSE renew_at END
        WHERE auth_config_id = ${configKey(config)} AND lease_owner IS NULL
        AND (last_attempt IS NOT NULL
          OR (status IN ('ACTIVE', 'EXPIRED') AND status_reason IS NOT NULL AND renew_at IS NOT NULL))`).pipe(
        Effect.asVoid,
        asStoreError
      ),

    dueConfigs: (now) =>
      // A disabled config renews no accounts. Its revoked accounts are still withdrawn.
      sql`SELECT * FROM (SELECT configs.project_id, configs.id AS auth_config_id, CASE WHEN configs.disabled_at IS NULL
        THEN (SELECT MIN(renew_at) FROM rekindle_accounts accounts WHERE accounts.auth_config_id = configs.id
          AND accounts.renew_at <= ${now})
        ELSE (SELECT MIN(renew_at) FROM rekindle_accounts accounts WHERE accounts.auth_config_id = configs.id
          AND accounts.renew_at <= ${now} AND accounts.status = 'REVOKED')
        END AS renew_at FROM rekindle_auth_configs configs) oldest WHERE renew_at IS NOT NULL`.pipe(
        Effect.flatMap(decodeAll(DueConfigRow)),
        Effect.map((rows) => rows.map((row) => ({ ...configRefOf(row), dueAt: row.renew_at }))),
        asStoreError
      ),

    claimDue: ({ config, limit, nextLook, now }) =>
      transaction(
        Effect.gen(function* () {
          const due = yield* sql<{ readonly id: string }>`SELECT id, project_id, auth_config_id, generation, renew_at,
              CASE WHEN ${underWay} THEN 1 ELSE 0 END AS under_way
            FROM rekindle_accounts WHERE auth_config_id = ${configKey(config)} AND renew_at <= ${now}
              AND (status = 'REVOKED' OR EXISTS (
                SELECT 1 FROM rekindle_auth_configs WHERE id = ${configKey(config)} AND disabled_at IS NULL
              ))
            ORDER BY renew_at LIMIT ${limit}${isSqlite ? sql`` : sql` FOR UPDATE SKIP LOCKED`}`
          if (due.length > 0) {
            yield* sql`UPDATE rekindle_accounts SET renew_at = ${nextLook} WHERE ${sql.in(
              "id",
              due.map(({ id }) => id)
            )}`
          }
          return due
        })
      ).pipe(
        Effect.flatMap(claimed),
        Effect.map((rows) =>
          rows.map((row) => ({
            id: row.id,
            ...configRefOf(row),
            generation: row.generation,
            dueAt: row.renew_at,
            isUnderWay: row.under_way === 1
          }))
        ),
        asStoreError
      ),

    findAbandoned: ({ after, limit, now }) => {
      const further = after === undefined ? sql`` : sql` AND (since, account_id) > (${after.since}, ${after.id})`
      return sql`SELECT id, project_id, auth_config_id, intent_since
        FROM rekindle_open_intents JOIN rekindle_accounts ON id = account_id
        WHERE ${underWay} AND lease_until <= ${clock(now)}${further} ORDER BY since, account_id LIMIT ${limit + 1}`.pipe(
        Effect.flatMap((found) => abandoned(found, limit, (row) => ({ id: row.id, ...configRefOf(row) }))),
        asStoreError
      )
    },

    // Each config's part of the index is read, so the accounts of other projects are not.
    dueCurve: ({ from, projectId, step, steps }) =>
      sql`SELECT span, COUNT(*) AS count FROM (
          SELECT CASE WHEN accounts.renew_at < ${from} THEN 0
            ELSE (accounts.renew_at - CAST(${from} AS BIGINT)) / CAST(${step} AS BIGINT) END AS span
          FROM rekindle_auth_configs configs JOIN rekindle_accounts accounts ON accounts.auth_config_id = configs.id
          WHERE configs.project_id = ${projectId} AND accounts.renew_at < ${from + step * steps}
        ) due GROUP BY span`.pipe(
        Effect.flatMap(decodeAll(SpanRow)),
        Effect.map((rows) => {
          const counts = new Map(rows.map(({ count, span }) => [span, count]))
          return Array.from({ length: steps }, (_, span) => counts.get(span) ?? 0)
        }),
        asStoreError
      ),

    counts: (now) =>
      Effect.all([
        sql`SELECT status, COUNT(*) AS count FROM rekindle_accounts GROUP BY status`,
        sql`SELECT COUNT(*) AS count FROM rekindle_accounts WHERE renew_at <= ${now}`
      ]).pipe(
        Effect.flatMap(([byStatus, due]) =>
          Effect.all([decodeAll(StatusCountRow)(byStatus), decodeAll(CountRow)(due)])
        ),
        Effect.map(([byStatus, [due]]) => ({
          byStatus: Object.fromEntries(byStatus.map(({ count, status }) => [status, count])),
          due: due?.count ?? 0
        })),
        asStoreError
      )
  } satisfies Partial<AccountStore["Service"]>
}
