/**
 * Statements about sealed values: for the check of a key ring, and for resealing.
 *
 * @module
 */
import { Effect } from "effect"
import type { AccountStore } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { namedBy } from "./readable.ts"
import { asStoreError, CanaryRow, decodeAll, IdPlaceRow, SealedRow } from "./rows.ts"

export const makeSealed = ({ readable, sql, statement }: Database) => {
  const sealedRows = readable.page(SealedRow, IdPlaceRow, namedBy("rekindle_accounts", "id"))

  return {
    listCanaries: sql`SELECT key_id, canary FROM rekindle_vault_keys ORDER BY key_id`.pipe(
      Effect.flatMap(decodeAll(CanaryRow)),
      Effect.map((rows) => rows.map((row) => ({ keyId: row.key_id, sealed: row.canary }))),
      asStoreError
    ),

    putCanary: ({ keyId, sealed }) =>
      statement(
        sql`INSERT INTO rekindle_vault_keys ${sql.insert({ key_id: keyId, canary: sealed })} ON CONFLICT (key_id) DO NOTHING`
      ).pipe(Effect.asVoid, asStoreError),

    removeCanary: (keyId) =>
      statement(sql`DELETE FROM rekindle_vault_keys WHERE key_id = ${keyId}`).pipe(Effect.asVoid, asStoreError),

    listSealed: ({ after, limit }) =>
      sql`SELECT id, project_id, generation, revision, credential, previous_credential FROM rekindle_accounts
        WHERE id > ${after?.id ?? ""} ORDER BY id LIMIT ${limit + 1}`.pipe(
        Effect.flatMap((found) =>
          sealedRows(found, limit, (row) => ({
            id: row.id,
            projectId: row.project_id,
            generation: row.generation,
            revision: row.revision,
            credential: row.credential,
            previousCredential: row.previous_credential
          }))
        ),
        asStoreError
      ),

    reseal: ({ credential, id, previousCredential, revision }) =>
      statement(sql`UPDATE rekindle_accounts SET credential = ${credential}, previous_credential = ${previousCredential},
        revision = revision + 1
        WHERE id = ${id} AND revision = ${revision} RETURNING id`).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      )
  } satisfies Partial<AccountStore["Service"]>
}
