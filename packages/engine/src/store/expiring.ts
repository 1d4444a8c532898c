/**
 * Statements about rows that expire: consent attempts and idempotency keys.
 *
 * @module
 */
import { Effect, Option, Schema } from "effect"
import type { SqlError } from "effect/sql"
import type { AccountStore, ConsentAttempt, IdempotencyRecord } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import { asStoreError, AttemptRow, first, KeyRow } from "./rows.ts"

/** The maximum number of open links to consent of one account. */
const openLinks = 5

const decodeAttempt = Schema.decodeUnknownEffect(AttemptRow)

/** Adds a link to consent, within the caller's transaction. */
export type InsertAttempt = ReturnType<typeof makeExpiring>["insertAttempt"]

export const makeExpiring = ({ isSqlite, sql, statement, transaction }: Database) => {
  /** Adds a link, and removes the oldest open links beyond the limit. Otherwise each of them would work until it expires. */
  const insertAttempt = (attempt: ConsentAttempt) =>
    Effect.andThen(
      sql`DELETE FROM rekindle_consent_attempts WHERE account_id = ${attempt.accountId} AND taken_at IS NULL AND state_hash NOT IN (
        SELECT state_hash FROM rekindle_consent_attempts WHERE account_id = ${attempt.accountId} AND taken_at IS NULL
        ORDER BY created_at DESC, state_hash LIMIT ${openLinks - 1}
      )`,
      sql`INSERT INTO rekindle_consent_attempts ${sql.insert({
        state_hash: attempt.stateHash,
        account_id: attempt.accountId,
        sealed: attempt.sealed,
        redirect_url: attempt.redirectUrl,
        created_at: attempt.createdAt,
        taken_at: attempt.takenAt,
        expires_at: attempt.expiresAt
      })}`
    )
  return {
    insertAttempt,

    findAttempt: (stateHash) =>
      sql`SELECT * FROM rekindle_consent_attempts WHERE state_hash = ${stateHash}`.pipe(
        Effect.flatMap(first(decodeAttempt)),
        Effect.map(
          Option.map((row): ConsentAttempt => ({
            stateHash: row.state_hash,
            accountId: row.account_id,
            sealed: row.sealed,
            redirectUrl: row.redirect_url,
            createdAt: row.created_at,
            takenAt: row.taken_at,
            expiresAt: row.expires_at
          }))
        ),
        asStoreError
      ),

    writeAttempt: ({ from, to }) =>
      statement(sql`UPDATE rekindle_consent_attempts
        SET sealed = ${to.sealed}, taken_at = ${to.takenAt}, expires_at = ${to.expiresAt}
        WHERE state_hash = ${from.stateHash} AND sealed = ${from.sealed} RETURNING state_hash`).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    reserveKey: ({ accountId, expireBefore, keyHash, now, requestHash }) => {
      const reserve: Effect.Effect<
        Option.Option<IdempotencyRecord>,
        SqlError.SqlError | Schema.SchemaError
      > = Effect.gen(function* () {
        const inserted = yield* sql`INSERT INTO rekindle_idempotency_keys ${sql.insert({
          key_hash: keyHash,
          account_id: accountId,
          request_hash: requestHash,
          answer: null,
          created_at: now
        })} ON CONFLICT (key_hash) DO UPDATE SET account_id = EXCLUDED.account_id, request_hash = EXCLUDED.request_hash,
          answer = NULL, created_at = EXCLUDED.created_at
          WHERE rekindle_idempotency_keys.created_at < ${expireBefore} RETURNING key_hash`
        if (inserted.length === 1) return Option.none()
        const rows = yield* sql`SELECT * FROM rekindle_idempotency_keys WHERE key_hash = ${keyHash}`
        // The key was released between the two statements, so it is free again.
        if (rows.length === 0) return yield* reserve
        const row = yield* Schema.decodeUnknownEffect(KeyRow)(rows[0])
        return Option.some({ accountId: row.account_id, requestHash: row.request_hash, answer: row.answer })
      })
      return asStoreError(transaction(reserve))
    },

    settleKey: (keyHash, answer) =>
      statement(
        answer === null
          ? sql`DELETE FROM rekindle_idempotency_keys WHERE key_hash = ${keyHash} AND answer IS NULL`
          : sql`UPDATE rekindle_idempotency_keys SET answer = ${answer} WHERE key_hash = ${keyHash}`
      ).pipe(Effect.asVoid, asStoreError),

    sweep: ({ keysBefore, limit, now }) => {
      const skipping = isSqlite ? sql`` : sql` FOR UPDATE SKIP LOCKED`
      const keys = sql`DELETE FROM rekindle_idempotency_keys WHERE key_hash IN (SELECT key_hash FROM rekindle_idempotency_keys
        WHERE created_at < ${keysBefore} ORDER BY created_at LIMIT ${limit}${skipping}) RETURNING key_hash`
      const attempts = sql`DELETE FROM rekindle_consent_attempts WHERE state_hash IN (SELECT state_hash FROM rekindle_consent_attempts
        WHERE expires_at <= ${now} ORDER BY expires_at LIMIT ${limit}${skipping}) RETURNING state_hash`
      return Effect.all([statement(keys), statement(attempts)]).pipe(
        Effect.map((deleted) => Math.max(...deleted.map((rows) => rows.length))),
        asStoreError
      )
    }
  } satisfies Partial<AccountStore["Service"]> & { readonly insertAttempt: unknown }
}
