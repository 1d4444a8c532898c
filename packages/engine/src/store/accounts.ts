/**
 * Statements about one account: read, take the lease, commit, and release the lease.
 *
 * On Postgres, reads, leases and commits of several callers share statements ({@link shareStatement}). Each of these has a second form for
 * many accounts ({@link makeTogether}). SQLite has no round trip to save. There, writes share commits.
 *
 * @module
 */
import { Clock, Effect, Option, Schema } from "effect"
import type { Account } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import {
  announcedAt,
  attemptsOf,
  type Begin,
  endsLease,
  epochOf,
  type Find,
  type FindIn,
  nextEpoch,
  underWay,
  type Write,
  written
} from "./accountRequests.ts"
import { makeTogether } from "./accountsTogether.ts"
import type { Database } from "./database.ts"
import type { InsertAttempt } from "./expiring.ts"
import { watchForRestore } from "./restoreWatch.ts"
import {
  AccountRow,
  asFailure,
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
import { type Shareable, shareStatement } from "./sharedStatement.ts"

const decodeAccount = Schema.decodeUnknownEffect(AccountRow)
const decodeLease = Schema.decodeUnknownEffect(LeaseRow)

export const makeAccounts = Effect.fnUntraced(function* (database: Database, insertAttempt: InsertAttempt) {
  const { clock, isSqlite, sql, statement, transaction } = database
  const together = makeTogether(database)

  /** On Postgres callers share statements. On SQLite each has its own. */
  const shared = <In, A>(alone: Shareable<In, A>["alone"], many: Omit<Shareable<In, A>, "alone">) =>
    isSqlite ? alone : shareStatement(sql, { ...many, alone })

  /**
   * The number of leases, including the one that the statement takes. The trigger counts that one only after the statement has returned.
   */
  const leases = isSqlite ? sql`(SELECT leases + 1 FROM rekindle_database)` : sql`0`

  // Each token may have been spent at an unknown time, so no reuse window counts as open. A lease stays, because its holder may still be
  // renewing. Other processes wait until the lease ends, before they send the token.
  const doubtAll = transaction(
    Effect.andThen(
      sql`UPDATE rekindle_accounts SET intent_generation = generation, intent_since = 0,
        intent_attempts = COALESCE(intent_attempts, 0) + 1, revision = revision + 1
        WHERE credential IS NOT NULL AND generation > 0`,
      sql`SELECT COUNT(*) AS count FROM rekindle_accounts
        WHERE credential IS NOT NULL AND generation > 0`
    )
  ).pipe(
    Effect.flatMap(decodeAll(CountRow)),
    Effect.map(([row]) => row?.count ?? 0),
    asStoreError
  )

  const noteLeases = isSqlite ? yield* watchForRestore(sql, doubtAll) : () => Effect.void

  const find = shared<Find, Option.Option<typeof AccountRow.Type>>(
    ({ id, now }) =>
      Effect.flatMap(
        sql`SELECT *, ${clock(now)} AS clock FROM rekindle_accounts WHERE id = ${id}`,
        first(decodeAccount)
      ),
    together.find
  )

  const findIn = shared<FindIn, Option.Option<typeof AccountRow.Type>>(
    ({ now, projectId, publicId }) =>
      Effect.flatMap(
        sql`SELECT *, ${clock(now)} AS clock FROM rekindle_accounts
          WHERE project_id = ${projectId} AND public_id = ${publicId}`,
        first(decodeAccount)
      ),
    together.findIn
  )

  const begin = shared<Begin, Option.Option<typeof LeaseRow.Type>>((asked) => {
    const { account, leaseMillis, now, owner, takeOver } = asked
    return Effect.flatMap(
      statement(sql`UPDATE rekindle_accounts SET
        lease_owner = ${owner},
        lease_until = ${clock(now)} + ${leaseMillis},
        epoch = ${nextEpoch(asked)},
        intent_generation = ${account.generation},
        intent_since = COALESCE(intent_since, ${clock(now)}),
        intent_attempts = ${attemptsOf(asked)}
      WHERE id = ${account.id} AND revision = ${account.revision} AND epoch = ${account.epoch}
        AND intent_attempts IS NOT DISTINCT FROM ${account.intent?.attempts ?? null}
        ${takeOver === true ? sql`` : sql`AND (lease_owner IS NULL OR lease_until <= ${clock(now)})`}
      RETURNING lease_until, intent_since, ${clock(now)} AS clock, ${leases} AS leases`),
      first(decodeLease)
    )
  }, together.begin)

  const ended = sql.literal(underWay.map((column) => `, ${column} = NULL`).join(""))

  /**
   * The statement of a write. It writes the account and its announcements in one statement. On SQLite a trigger inserts the announcements.
   */
  const writing = (write: Write) => {
    const { announce, from, to } = write
    const at = announcedAt(write)
    const epoch = epochOf(write)
    const update = sql`UPDATE rekindle_accounts SET ${sql.update(changeable(to))}, revision = revision + 1${
      endsLease(write) ? ended : sql``
    }${isSqlite ? sql`, announce = ${announce.length === 0 ? null : JSON.stringify({ at, types: announce })}` : sql``}
      WHERE id = ${from.id} AND revision = ${from.revision}${epoch === null ? sql`` : sql` AND epoch = ${epoch}`}
      RETURNING project_id, public_id, status, status_reason, generation`
    const announced =
      isSqlite || announce.length === 0
        ? update
        : sql`WITH written AS (${update})
            INSERT INTO rekindle_outbox (project_id, account_id, type, status, status_reason, generation, at)
            SELECT written.project_id, written.public_id, announced.type, written.status, written.status_reason, written.generation, CAST(${at} AS BIGINT)
            FROM written, unnest(string_to_array(${announce.join(",")}, ',')) WITH ORDINALITY AS announced (type, place)
            ORDER BY announced.place RETURNING sequence`
    return Effect.map(announced, (rows) => rows.length > 0)
  }

  const write = shared<Write, boolean>((asked) => statement(writing(asked)), together.write)

  return {
    doubtAll,

    insert: (account) =>
      transaction(
        Effect.gen(function* () {
          const inserted = yield* sql`INSERT INTO rekindle_accounts ${sql.insert({
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
          if (inserted.length === 0) return false
          // This is checked after the insert: once the id is free, no removal of it is in flight.
          const removed = yield* sql`SELECT id FROM rekindle_removed_accounts WHERE id = ${account.id}`
          if (removed.length === 0) return true
          yield* sql`DELETE FROM rekindle_accounts WHERE id = ${account.id}`
          return false
        })
      ).pipe(asStoreError),

    find: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        find({ id, now }).pipe(Effect.map(Option.map((row) => toAccount(row, now))), asStoreError)
      ),

    findIn: (projectId, publicId) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        findIn({ projectId, publicId, now }).pipe(Effect.map(Option.map((row) => toAccount(row, now))), asStoreError)
      ),

    begin: (asked) =>
      begin(asked).pipe(
        // The mark is updated before anything is sent under the lease.
        Effect.tap(Option.match({ onNone: () => Effect.void, onSome: (row) => noteLeases(row.leases) })),
        Effect.map(Option.map((row) => leased(asked, row))),
        asStoreError
      ),

    write: ({ attempt, ...change }) =>
      asStoreError(
        Effect.map(
          attempt === undefined
            ? // The alias is the only column of an account that a write changes and that is unique.
              Effect.catchIf(
                asFailure(write(change)),
                (error) =>
                  change.to.alias !== change.from.alias &&
                  error._tag === "SqlError" &&
                  error.reason._tag === "UniqueViolation",
                () => Effect.succeed(false)
              )
            : transaction(
                Effect.tap(writing(change), (done) => (done ? Effect.asVoid(insertAttempt(attempt)) : Effect.void))
              ),
          (done) => (done ? Option.some(written(change)) : Option.none())
        )
      ),

    release: ({ epoch, id, keepIntent, keepLease, renewAt, result }) =>
      statement(sql`UPDATE rekindle_accounts SET ${keepLease === true ? sql`` : sql`lease_owner = NULL, lease_until = NULL,`}
        renew_at = CASE WHEN renew_at IS NULL THEN NULL ELSE CAST(${renewAt} AS BIGINT) END,
        last_attempt = ${encodeResult(result)}${
          keepIntent ? sql`` : sql`, intent_generation = NULL, intent_since = NULL, intent_attempts = NULL`
        } WHERE id = ${id} AND epoch = ${epoch} AND lease_owner IS NOT NULL`).pipe(Effect.asVoid, asStoreError)
  } satisfies Partial<AccountStore["Service"]>
})

/** The account under its new lease. The revision matched, so the other fields of the caller's copy are current. */
const leased = (asked: Begin, row: typeof LeaseRow.Type): Account => {
  const { account, now, owner } = asked
  const epoch = nextEpoch(asked)
  return {
    ...account,
    epoch,
    lease: { owner, epoch, until: row.lease_until + now - row.clock },
    intent: { generation: account.generation, since: row.intent_since + now - row.clock, attempts: attemptsOf(asked) }
  }
}
