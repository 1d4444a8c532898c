/**
 * Statements about one account: the lease, the commit, and giving a lease back.
 *
 * @module
 */
import { Clock, Effect, Option, Schema } from "effect"
import type { Account } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import type { Database } from "./database.ts"
import type { InsertAttempt } from "./expiring.ts"
import { watchForRestore } from "./restoreWatch.ts"
import {
  AccountRow,
  asStoreError,
  changeable,
  configKey,
  CountRow,
  decodeAll,
  encodeResult,
  first,
  LeaseRow,
  toAccount
} from "./rows.ts"

const decodeAccount = Schema.decodeUnknownEffect(AccountRow)
const decodeLease = Schema.decodeUnknownEffect(LeaseRow)

export const makeAccounts = Effect.fnUntraced(function* (
  { clock, isSqlite, sql, statement, transaction }: Database,
  insertAttempt: InsertAttempt
) {
  /** How many leases there are with the one that a statement takes. Its own trigger counts it after the statement has returned. */
  const leases = isSqlite ? sql`(SELECT leases + 1 FROM rekindle_database)` : sql`0`

  // A token that may be spent, nobody knows since when: no reuse window is believed to be open.
  const doubtAll = transaction(
    Effect.andThen(
      sql`UPDATE rekindle_accounts SET intent_generation = generation, intent_since = 0,
        intent_attempts = COALESCE(intent_attempts, 0) + 1, lease_owner = NULL, lease_until = NULL, revision = revision + 1
        WHERE credential IS NOT NULL`,
      sql`SELECT 'doubt' AS status, COUNT(*) AS count FROM rekindle_accounts WHERE credential IS NOT NULL`
    )
  ).pipe(
    Effect.flatMap(decodeAll(CountRow)),
    Effect.map(([row]) => row?.count ?? 0),
    asStoreError
  )

  const noteLeases = isSqlite ? yield* watchForRestore(sql, doubtAll) : () => Effect.void
  const account = (now: number) => first((row) => Effect.map(decodeAccount(row), (row) => toAccount(row, now)))

  return {
    doubtAll,

    insert: (account) =>
      statement(
        sql`INSERT INTO rekindle_accounts ${sql.insert({
          id: account.id,
          public_id: account.publicId,
          project_id: account.projectId,
          auth_config_id: configKey(account),
          toolkit: account.toolkit,
          user_id: account.userId,
          scheme: account.scheme,
          ...changeable(account),
          revision: account.revision,
          epoch: account.epoch,
          created_at: account.createdAt
        })} ON CONFLICT DO NOTHING RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    find: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        sql`SELECT *, ${clock(now)} AS clock FROM rekindle_accounts WHERE id = ${id}`.pipe(
          Effect.flatMap(account(now)),
          asStoreError
        )
      ),

    findIn: (projectId, publicId) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        sql`SELECT *, ${clock(now)} AS clock FROM rekindle_accounts
          WHERE project_id = ${projectId} AND public_id = ${publicId}`.pipe(Effect.flatMap(account(now)), asStoreError)
      ),

    begin: ({ account, leaseMillis, now, owner, takeOver }) => {
      const { epoch, generation, id, intent, revision } = account
      const attempts = (intent?.attempts ?? 0) + 1
      return statement(sql`UPDATE rekindle_accounts SET
        lease_owner = ${owner},
        lease_until = ${clock(now)} + ${leaseMillis},
        epoch = epoch + 1,
        intent_generation = ${generation},
        intent_since = COALESCE(intent_since, ${clock(now)}),
        intent_attempts = ${attempts}
      WHERE id = ${id} AND revision = ${revision} AND epoch = ${epoch}
        AND intent_attempts IS NOT DISTINCT FROM ${intent?.attempts ?? null}
        ${takeOver === true ? sql`` : sql`AND (lease_owner IS NULL OR lease_until <= ${clock(now)})`}
      RETURNING lease_until, intent_since, ${clock(now)} AS clock, ${leases} AS leases`).pipe(
        Effect.flatMap(first(decodeLease)),
        // Before anything is sent under the lease.
        Effect.tap(Option.match({ onNone: () => Effect.void, onSome: (row) => noteLeases(row.leases) })),
        // The revision was right, so that all else is as the caller has it.
        Effect.map(
          Option.map((row): Account => ({
            ...account,
            epoch: epoch + 1,
            lease: { owner, epoch: epoch + 1, until: row.lease_until + now - row.clock },
            intent: { generation, since: row.intent_since + now - row.clock, attempts }
          }))
        ),
        asStoreError
      )
    },

    write: ({ announce, attempt, endLease, from, to }) => {
      const renewed = to.generation !== from.generation
      const at = attempt?.createdAt ?? to.updatedAt
      const update = sql`UPDATE rekindle_accounts SET ${sql.update(changeable(to))}, revision = revision + 1${
        renewed || endLease !== undefined
          ? sql`, lease_owner = NULL, lease_until = NULL, intent_generation = NULL, intent_since = NULL,
            intent_attempts = NULL, last_attempt = NULL`
          : sql``
      }${isSqlite ? sql`, announce = ${announce.length === 0 ? null : JSON.stringify({ at, types: announce })}` : sql``}
      WHERE id = ${from.id} AND revision = ${from.revision}${
        renewed || endLease === undefined ? sql`` : sql` AND epoch = ${endLease}`
      } RETURNING project_id, public_id, status, status_reason, generation`
      // One statement writes the account and its announcements: on SQLite by a trigger.
      const announced =
        isSqlite || announce.length === 0
          ? update
          : sql`WITH written AS (${update})
            INSERT INTO rekindle_outbox (project_id, account_id, type, status, status_reason, generation, at)
            SELECT written.project_id, written.public_id, announced.type, written.status, written.status_reason, written.generation, CAST(${at} AS BIGINT)
            FROM written, unnest(string_to_array(${announce.join(",")}, ',')) WITH ORDINALITY AS announced (type, place)
            ORDER BY announced.place RETURNING sequence`
      const written = Effect.map(announced, (rows) => rows.length > 0)
      const all =
        attempt === undefined
          ? statement(written)
          : transaction(Effect.tap(written, (done) => (done ? Effect.asVoid(insertAttempt(attempt)) : Effect.void)))
      return asStoreError(all)
    },

    release: ({ epoch, id, keepIntent, keepLease, renewAt, result }) =>
      statement(sql`UPDATE rekindle_accounts SET ${keepLease === true ? sql`` : sql`lease_owner = NULL, lease_until = NULL,`}
        renew_at = CASE WHEN renew_at IS NULL THEN NULL ELSE CAST(${renewAt} AS BIGINT) END,
        last_attempt = ${encodeResult(result)}${
          keepIntent ? sql`` : sql`, intent_generation = NULL, intent_since = NULL, intent_attempts = NULL`
        } WHERE id = ${id} AND epoch = ${epoch} AND lease_owner IS NOT NULL`).pipe(Effect.asVoid, asStoreError)
  } satisfies Partial<AccountStore["Service"]>
})
