/**
 * Statements about auth configs.
 *
 * @module
 */
import { Effect, Option, Schema } from "effect"
import type { AccountStore, StoredAuthConfig } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import {
  asStoreError,
  AuthConfigRow,
  configIdOf,
  configKey,
  CountRow,
  decodeAll,
  first,
  IdPlaceRow,
  PutConfigRow
} from "./rows.ts"

const storedOf = (row: typeof AuthConfigRow.Type): StoredAuthConfig => ({
  id: configIdOf(row.id),
  projectId: row.project_id,
  sealed: row.sealed,
  createdAt: row.created_at ?? row.updated_at,
  updatedAt: row.updated_at,
  disabledAt: row.disabled_at
})

export const makeConfigs = ({ readable, sql, statement, transaction }: Database) => {
  const readableConfigs = readable.page(AuthConfigRow, IdPlaceRow, namedBy("rekindle_auth_configs", "id"))
  const switched = (isDisabled: boolean | undefined) =>
    isDisabled === undefined ? [] : [isDisabled ? sql`disabled_at IS NOT NULL` : sql`disabled_at IS NULL`]
  return {
    putAuthConfig: (config) =>
      statement(
        sql`INSERT INTO rekindle_auth_configs ${sql.insert({
          id: configKey({ projectId: config.projectId, authConfigId: config.id }),
          project_id: config.projectId,
          sealed: config.sealed,
          created_at: config.updatedAt,
          updated_at: config.updatedAt
        })} ON CONFLICT (id) DO UPDATE SET sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at
          RETURNING created_at, disabled_at`
      ).pipe(
        Effect.flatMap(decodeAll(PutConfigRow)),
        Effect.map(([row]) => ({
          ...config,
          createdAt: row?.created_at ?? config.updatedAt,
          disabledAt: row?.disabled_at ?? null
        })),
        asStoreError
      ),

    findAuthConfig: (config) =>
      sql`SELECT * FROM rekindle_auth_configs WHERE id = ${configKey(config)}`.pipe(
        Effect.flatMap(first(Schema.decodeUnknownEffect(AuthConfigRow))),
        Effect.map(Option.map(storedOf)),
        asStoreError
      ),

    listAuthConfigs: ({ after, isDisabled, limit, projectId }) =>
      sql`SELECT * FROM rekindle_auth_configs WHERE ${sql.and([
        sql`id > ${after?.id ?? ""}`,
        ...(projectId === undefined ? [] : [sql`project_id = ${projectId}`]),
        ...switched(isDisabled)
      ])} ORDER BY id LIMIT ${limit + 1}`.pipe(
        Effect.flatMap((found) => readableConfigs(found, limit, storedOf)),
        asStoreError
      ),

    countAuthConfigs: ({ isDisabled, projectId }) =>
      sql`SELECT COUNT(*) AS count FROM rekindle_auth_configs
        WHERE ${sql.and([sql`project_id = ${projectId}`, ...switched(isDisabled)])}`.pipe(
        Effect.flatMap(decodeAll(CountRow)),
        Effect.map(([row]) => row?.count ?? 0),
        asStoreError
      ),

    switchAuthConfig: (config, disabledAt) =>
      statement(
        sql`UPDATE rekindle_auth_configs SET disabled_at = ${disabledAt} WHERE id = ${configKey(config)} RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    removeAuthConfig: (config) => {
      const key = configKey(config)
      return transaction(
        Effect.gen(function* () {
          const removed = yield* sql`DELETE FROM rekindle_auth_configs WHERE id = ${key}
            AND NOT EXISTS (SELECT 1 FROM rekindle_accounts WHERE auth_config_id = ${key}) RETURNING id`
          if (removed.length === 1) return "removed"
          const left = yield* sql`SELECT id FROM rekindle_auth_configs WHERE id = ${key}`
          return left.length === 0 ? "absent" : "in-use"
        })
      ).pipe(asStoreError)
    },

    writeAuthConfig: ({ from, id, projectId, to, updatedAt }) =>
      statement(
        sql`UPDATE rekindle_auth_configs SET sealed = ${to}${updatedAt === undefined ? sql`` : sql`, updated_at = ${updatedAt}`}
          WHERE id = ${configKey({ projectId, authConfigId: id })} AND sealed = ${from} RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      )
  } satisfies Partial<AccountStore["Service"]>
}
