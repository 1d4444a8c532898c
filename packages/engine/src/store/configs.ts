/**
 * Statements about auth configs.
 *
 * @module
 */
import { Effect, Option, Schema } from "effect"
import type { AccountStore } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import { asStoreError, AuthConfigRow, configIdOf, configKey, first } from "./rows.ts"

export const makeConfigs = ({ readable, sql, statement }: Database) => {
  return {
    putAuthConfig: (config) =>
      statement(
        sql`INSERT INTO rekindle_auth_configs ${sql.insert({
          id: configKey({ projectId: config.projectId, authConfigId: config.id }),
          project_id: config.projectId,
          sealed: config.sealed,
          updated_at: config.updatedAt
        })} ON CONFLICT (id) DO UPDATE SET sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at`
      ).pipe(Effect.asVoid, asStoreError),

    findAuthConfig: (config) =>
      sql`SELECT * FROM rekindle_auth_configs WHERE id = ${configKey(config)}`.pipe(
        Effect.flatMap(first(Schema.decodeUnknownEffect(AuthConfigRow))),
        Effect.map(
          Option.map((row) => ({
            id: configIdOf(row.id),
            projectId: row.project_id,
            sealed: row.sealed,
            updatedAt: row.updated_at
          }))
        ),
        asStoreError
      ),

    resealAuthConfig: ({ from, id, projectId, to }) =>
      statement(
        sql`UPDATE rekindle_auth_configs SET sealed = ${to}
          WHERE id = ${configKey({ projectId, authConfigId: id })} AND sealed = ${from} RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    listAuthConfigs: () =>
      sql`SELECT * FROM rekindle_auth_configs ORDER BY id`.pipe(
        Effect.flatMap(readable(AuthConfigRow, namedBy("rekindle_auth_configs", "id"))),
        Effect.map((rows) =>
          rows.map((row) => ({
            id: configIdOf(row.id),
            projectId: row.project_id,
            sealed: row.sealed,
            updatedAt: row.updated_at
          }))
        ),
        asStoreError
      )
  } satisfies Partial<AccountStore["Service"]>
}
