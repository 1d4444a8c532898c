/**
 * The account store on `effect/sql`. The same statements serve SQLite and Postgres; where they differ, the difference is named.
 *
 * Machines' clocks differ, and one that runs ahead must not take a lease that still holds. So on Postgres leases and intents run on the
 * database's clock, and whoever reads an account gets their times in terms of its own. On SQLite everybody shares one machine's clock.
 *
 * @module
 */
import { AuthScheme, ConnectedAccountId, KnownStatus } from "@rekindle/core"
import { Clock, Effect, Layer, Metric, Option, Predicate, Result, Schedule, Schema, SchemaTransformation } from "effect"
import { type Migrator, SqlClient, SqlError } from "effect/sql"
import { type Account, AttemptResult, OutboxEventType, StatusReason, Withdrawal } from "../account/Account.ts"
import {
  AccountStore,
  type AuthConfigRef,
  type ConsentAttempt,
  type IdempotencyRecord,
  type OutboxEvent,
  StoreError
} from "../account/AccountStore.ts"
import { Sealed } from "../vault/CredentialVault.ts"
import * as GroupCommit from "./GroupCommit.ts"
import { migrate } from "./migrations.ts"
import * as RestoreMark from "./restoreMark.ts"

// Postgres hands 64-bit integers over as bigint, SQLite as number. Epoch milliseconds and counters fit a double.
const Int = Schema.Union([
  Schema.Number,
  Schema.BigInt.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.transform({ decode: Number, encode: BigInt })))
])
const MaybeInt = Schema.NullOr(Int)
const MaybeText = Schema.NullOr(Schema.String)

const AccountRow = Schema.Struct({
  id: ConnectedAccountId,
  public_id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String,
  toolkit: Schema.String,
  user_id: Schema.String,
  scheme: AuthScheme,
  status: KnownStatus,
  status_reason: Schema.NullOr(StatusReason),
  generation: Int,
  revision: Int,
  grant_id: Schema.String,
  credential: Schema.NullOr(Sealed),
  previous_credential: Schema.NullOr(Sealed),
  obtained_at: Int,
  obtained_epoch: MaybeInt,
  expires_at: MaybeInt,
  renew_at: MaybeInt,
  consent_until: MaybeInt,
  lease_owner: MaybeText,
  lease_until: MaybeInt,
  epoch: Int,
  intent_generation: MaybeInt,
  intent_since: MaybeInt,
  intent_attempts: MaybeInt,
  withdrawal: Schema.NullOr(Schema.fromJsonString(Withdrawal)),
  last_attempt: Schema.NullOr(Schema.fromJsonString(AttemptResult)),
  created_at: Int,
  updated_at: Int,
  clock: Int
})

const AttemptRow = Schema.Struct({
  state_hash: Schema.String,
  account_id: ConnectedAccountId,
  sealed: Sealed,
  redirect_url: MaybeText,
  created_at: Int,
  expires_at: Int
})

const OutboxRow = Schema.Struct({
  sequence: Int,
  project_id: Schema.String,
  account_id: ConnectedAccountId,
  type: OutboxEventType,
  status: Schema.String,
  status_reason: MaybeText,
  generation: Int,
  at: Int
})

const AuthConfigRow = Schema.Struct({ id: Schema.String, project_id: Schema.String, sealed: Sealed, updated_at: Int })
const CanaryRow = Schema.Struct({ key_id: Schema.String, canary: Sealed })
const KeyRow = Schema.Struct({ account_id: ConnectedAccountId, request_hash: Schema.String, answer: MaybeText })
const SealedRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  generation: Int,
  revision: Int,
  credential: Schema.NullOr(Sealed),
  previous_credential: Schema.NullOr(Sealed)
})
const DueRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String,
  generation: Int,
  renew_at: Int
})
const AbandonedRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String
})
const LeaseRow = Schema.Struct({ lease_until: Int, intent_since: Int, clock: Int, leases: Int })
const DatabaseRow = Schema.Struct({ id: Schema.String, leases: Int, file: MaybeText })
const CountRow = Schema.Struct({ status: Schema.String, count: Int })

/** Auth config ids are unique in their project. In the database they stand behind it: no config id has a slash. */
const configKey = ({ authConfigId, projectId }: AuthConfigRef): string => `${projectId}/${authConfigId}`
const configIdOf = (key: string): string => key.slice(key.lastIndexOf("/") + 1)
const configRefOf = (row: { readonly project_id: string; readonly auth_config_id: string }): AuthConfigRef => ({
  projectId: row.project_id,
  authConfigId: configIdOf(row.auth_config_id)
})

/** `now` is the reader's clock, `row.clock` the one that the row's lease and intent run on. */
const toAccount = (row: typeof AccountRow.Type, now: number): Account => ({
  id: row.id,
  publicId: row.public_id,
  ...configRefOf(row),
  toolkit: row.toolkit,
  userId: row.user_id,
  scheme: row.scheme,
  status: row.status,
  statusReason: row.status_reason,
  generation: row.generation,
  revision: row.revision,
  grantId: row.grant_id,
  credential: row.credential,
  previousCredential: row.previous_credential,
  obtainedAt: row.obtained_at,
  ...(row.obtained_epoch === null ? {} : { obtainedEpoch: row.obtained_epoch }),
  expiresAt: row.expires_at,
  renewAt: row.renew_at,
  consentUntil: row.consent_until,
  lease:
    row.lease_owner === null || row.lease_until === null
      ? null
      : { owner: row.lease_owner, epoch: row.epoch, until: row.lease_until + now - row.clock },
  epoch: row.epoch,
  intent:
    row.intent_generation === null || row.intent_since === null
      ? null
      : {
          generation: row.intent_generation,
          since: row.intent_since + now - row.clock,
          attempts: row.intent_attempts ?? 1
        },
  withdrawal: row.withdrawal,
  lastAttempt: row.last_attempt,
  createdAt: row.created_at,
  updatedAt: row.updated_at
})

const encodeWithdrawal = Schema.encodeSync(Schema.fromJsonString(Withdrawal))

/** The columns that `write` may change. */
const changeable = (account: Account) => ({
  status: account.status,
  status_reason: account.statusReason,
  generation: account.generation,
  grant_id: account.grantId,
  credential: account.credential,
  previous_credential: account.previousCredential,
  obtained_at: account.obtainedAt,
  obtained_epoch: account.obtainedEpoch ?? null,
  expires_at: account.expiresAt,
  renew_at: account.renewAt,
  consent_until: account.consentUntil,
  withdrawal: account.withdrawal === null ? null : encodeWithdrawal(account.withdrawal),
  updated_at: account.updatedAt
})

/** Links to consent that an account may have open at the same time. */
const openLinks = 5

const storeError = (cause: SqlError.SqlError | Schema.SchemaError) =>
  new StoreError({
    message: `the account store failed: ${
      cause._tag === "SchemaError"
        ? "a row does not decode"
        : cause.reason.operation === "file"
          ? cause.reason.message
          : cause.reason._tag
    }`,
    cause
  })

/**
 * What a client reports as a defect, such as a connection that was lost with a statement on its way, is no more than a failure here: whoever
 * asked tries again later.
 */
const asStoreError = <A, R>(
  asked: Effect.Effect<A, SqlError.SqlError | Schema.SchemaError, R>
): Effect.Effect<A, StoreError, R> =>
  asked.pipe(
    Effect.catchDefect((defect) => (SqlError.isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect))),
    Effect.mapError(storeError)
  )

const decodeAccount = Schema.decodeUnknownEffect(AccountRow)
const decodeAttempt = Schema.decodeUnknownEffect(AttemptRow)
const decodeAll = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) =>
  Schema.decodeUnknownEffect(Schema.Array(schema))

/** Rows that were left out because they do not decode, each counted once by each process. */
export const unreadableRows = Metric.counter("rekindle.store.unreadable_rows", {
  description: "Rows left out because they do not decode",
  incremental: true
})

/** How many unreadable rows a process remembers to have reported. */
const reportedAtMost = 1_000

/** Decodes rows one by one. A row that does not decode is left out, and reported once by the name that `nameOf` gives it. */
const makeReadable = () => {
  const reported = new Set<string>()
  return <S extends Schema.ConstraintDecoder<unknown>>(schema: S, nameOf: (row: object) => string) => {
    const decode = Schema.decodeUnknownResult(schema)
    return Effect.fnUntraced(function* (rows: ReadonlyArray<object>) {
      const readable: Array<S["Type"]> = []
      for (const row of rows) {
        const decoded = decode(row)
        if (Result.isSuccess(decoded)) {
          readable.push(decoded.success)
          continue
        }
        const name = nameOf(row)
        if (reported.has(name) || reported.size >= reportedAtMost) continue
        reported.add(name)
        yield* Metric.update(unreadableRows, 1)
        // The name alone: what does not decode may hold a secret.
        yield* Effect.logError("a row of the account store does not decode; it is left out", { row: name })
      }
      return readable
    })
  }
}

const namedBy = (table: string, column: string) => (row: object) =>
  `${table}/${String(Predicate.hasProperty(row, column) ? row[column] : undefined)}`
const encodeResult = Schema.encodeSync(Schema.fromJsonString(AttemptResult))

/** Notices that a SQLite database is an older one than its mark says, and gives what keeps the mark. A database in memory has none. */
const watchForRestore = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  doubtAll: Effect.Effect<number, StoreError>
) {
  const [known] = yield* sql`SELECT id, leases, (SELECT file FROM pragma_database_list WHERE name = 'main') AS file
    FROM rekindle_database`.pipe(Effect.flatMap(decodeAll(DatabaseRow)), asStoreError)
  const file = known?.file ?? ""
  if (known === undefined || file === "") return () => Effect.void
  const path = `${file}.mark`
  const attempt = <A>(run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) => new StoreError({ message: `the mark ${path} of the database cannot be used`, cause })
    })
  let opened: ReturnType<typeof RestoreMark.open> | undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => opened?.close()))
  const note = (leases: number) =>
    attempt(() => {
      opened ??= RestoreMark.open(path)
      opened.set({ databaseId: known.id, leases })
    })
  const mark = yield* attempt(() => RestoreMark.read(path))
  // Read after the mark: another process may have given out leases meanwhile.
  const [now = known] = yield* sql`SELECT id, leases, NULL AS file FROM rekindle_database`.pipe(
    Effect.flatMap(decodeAll(DatabaseRow)),
    asStoreError
  )
  if (RestoreMark.isBehind({ databaseId: now.id, leases: now.leases }, mark)) {
    const accounts = yield* doubtAll
    yield* Effect.logWarning("the database is older than its mark, or has none: its tokens may be spent", {
      file,
      accounts
    })
    yield* note(now.leases)
  }
  let failing = false
  return (leases: number) =>
    note(leases).pipe(
      Effect.catch(({ message }) => {
        if (failing) return Effect.void
        failing = true
        return Effect.logWarning(`${message}; a restore of an older snapshot will not be noticed`)
      })
    )
})

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const isSqlite = sql.onDialectOrElse({ sqlite: () => true, orElse: () => false })
  const { statement: durablyOne, transaction: durably }: GroupCommit.Writer = isSqlite
    ? yield* GroupCommit.make(sql)
    : {
        statement: (statement) => statement,
        transaction: (write) => sql.withTransaction(write)
      }
  /** The clock of leases and intents, in epoch milliseconds. */
  const clock = (now: number) => (isSqlite ? sql`${now}` : sql`(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint`)

  /** How many leases there are with the one that a statement takes. Its own trigger counts it after the statement has returned. */
  const leases = isSqlite ? sql`(SELECT leases + 1 FROM rekindle_database)` : sql`0`

  // A token that may be spent, nobody knows since when: no reuse window is believed to be open.
  const doubtAll = durably(
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

  const readable = makeReadable()
  const accountName = namedBy("rekindle_accounts", "id")

  const first =
    <A, E>(decode: (row: unknown) => Effect.Effect<A, E>) =>
    (rows: ReadonlyArray<unknown>) =>
      rows.length === 0 ? Effect.succeedNone : Effect.asSome(decode(rows[0]))
  const account = (now: number) => first((row) => Effect.map(decodeAccount(row), (row) => toAccount(row, now)))

  /** Adds a link, and takes away the account's oldest: each of them would work until its end. */
  const insertAttempt = (attempt: ConsentAttempt) =>
    Effect.andThen(
      sql`DELETE FROM rekindle_consent_attempts WHERE account_id = ${attempt.accountId} AND state_hash NOT IN (
        SELECT state_hash FROM rekindle_consent_attempts WHERE account_id = ${attempt.accountId}
        ORDER BY created_at DESC, state_hash LIMIT ${openLinks - 1}
      )`,
      sql`INSERT INTO rekindle_consent_attempts ${sql.insert({
        state_hash: attempt.stateHash,
        account_id: attempt.accountId,
        sealed: attempt.sealed,
        redirect_url: attempt.redirectUrl,
        created_at: attempt.createdAt,
        expires_at: attempt.expiresAt
      })}`
    )

  return AccountStore.of({
    putAuthConfig: (config) =>
      durablyOne(
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
      durablyOne(
        sql`UPDATE rekindle_auth_configs SET sealed = ${to}
          WHERE id = ${configKey({ projectId, authConfigId: id })} AND sealed = ${from} RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    listCanaries: sql`SELECT key_id, canary FROM rekindle_vault_keys ORDER BY key_id`.pipe(
      Effect.flatMap(decodeAll(CanaryRow)),
      Effect.map((rows) => rows.map((row) => ({ keyId: row.key_id, sealed: row.canary }))),
      Effect.mapError(storeError)
    ),

    putCanary: ({ keyId, sealed }) =>
      durablyOne(
        sql`INSERT INTO rekindle_vault_keys ${sql.insert({ key_id: keyId, canary: sealed })} ON CONFLICT (key_id) DO NOTHING`
      ).pipe(Effect.asVoid, Effect.mapError(storeError)),

    removeCanary: (keyId) =>
      durablyOne(sql`DELETE FROM rekindle_vault_keys WHERE key_id = ${keyId}`).pipe(
        Effect.asVoid,
        Effect.mapError(storeError)
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
      ),

    doubtAll,

    insert: (account) =>
      durablyOne(
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
      return durablyOne(sql`UPDATE rekindle_accounts SET
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
        Effect.flatMap(first(Schema.decodeUnknownEffect(LeaseRow))),
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
      const statement =
        isSqlite || announce.length === 0
          ? update
          : sql`WITH written AS (${update})
            INSERT INTO rekindle_outbox (project_id, account_id, type, status, status_reason, generation, at)
            SELECT written.project_id, written.public_id, announced.type, written.status, written.status_reason, written.generation, CAST(${at} AS BIGINT)
            FROM written, unnest(string_to_array(${announce.join(",")}, ',')) WITH ORDINALITY AS announced (type, place)
            ORDER BY announced.place RETURNING sequence`
      const written = Effect.map(statement, (rows) => rows.length > 0)
      const all =
        attempt === undefined
          ? durablyOne(written)
          : durably(Effect.tap(written, (done) => (done ? Effect.asVoid(insertAttempt(attempt)) : Effect.void)))
      return asStoreError(all)
    },

    release: ({ epoch, id, keepIntent, keepLease, renewAt, result }) =>
      durablyOne(sql`UPDATE rekindle_accounts SET ${keepLease === true ? sql`` : sql`lease_owner = NULL, lease_until = NULL,`}
        renew_at = CASE WHEN renew_at IS NULL THEN NULL ELSE CAST(${renewAt} AS BIGINT) END,
        last_attempt = ${encodeResult(result)}${
          keepIntent ? sql`` : sql`, intent_generation = NULL, intent_since = NULL, intent_attempts = NULL`
        } WHERE id = ${id} AND epoch = ${epoch} AND lease_owner IS NOT NULL`).pipe(Effect.asVoid, asStoreError),

    // A dead credential that is tried again has a time for that, and a failing account has left word.
    resume: ({ config, now }) =>
      durablyOne(sql`UPDATE rekindle_accounts SET last_attempt = NULL,
        renew_at = CASE WHEN renew_at > ${now} THEN CAST(${now} AS BIGINT) ELSE renew_at END
        WHERE auth_config_id = ${configKey(config)} AND lease_owner IS NULL
        AND (last_attempt IS NOT NULL OR (status = 'EXPIRED' AND renew_at IS NOT NULL))`).pipe(
        Effect.asVoid,
        Effect.mapError(storeError)
      ),

    dueConfigs: (now) =>
      sql`SELECT configs.project_id, configs.id AS auth_config_id FROM rekindle_auth_configs configs WHERE EXISTS (
        SELECT 1 FROM rekindle_accounts accounts WHERE accounts.auth_config_id = configs.id AND accounts.renew_at <= ${now}
      )`.pipe(
        Effect.flatMap(decodeAll(Schema.Struct({ project_id: Schema.String, auth_config_id: Schema.String }))),
        Effect.map((rows) => rows.map(configRefOf)),
        asStoreError
      ),

    claimDue: ({ config, limit, nextLook, now }) =>
      durably(
        Effect.gen(function* () {
          const due = yield* sql<{ readonly id: string }>`SELECT id, project_id, auth_config_id, generation, renew_at
            FROM rekindle_accounts WHERE auth_config_id = ${configKey(config)} AND renew_at <= ${now}
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
        Effect.flatMap(readable(DueRow, accountName)),
        Effect.map((rows) =>
          rows.map((row) => ({
            id: row.id,
            ...configRefOf(row),
            generation: row.generation,
            dueAt: row.renew_at
          }))
        ),
        asStoreError
      ),

    findAbandoned: (now, limit) =>
      sql`SELECT id, project_id, auth_config_id FROM rekindle_accounts
        WHERE intent_since IS NOT NULL AND status NOT IN ('INACTIVE', 'REVOKED')
        AND lease_owner IS NOT NULL AND lease_until <= ${clock(now)} ORDER BY intent_since LIMIT ${limit}`.pipe(
        Effect.flatMap(readable(AbandonedRow, accountName)),
        Effect.map((rows) => rows.map((row) => ({ id: row.id, ...configRefOf(row) }))),
        asStoreError
      ),

    takeAttempt: (stateHash) =>
      durablyOne(sql`DELETE FROM rekindle_consent_attempts WHERE state_hash = ${stateHash} RETURNING *`).pipe(
        Effect.flatMap(first(decodeAttempt)),
        Effect.map(
          Option.map((row): ConsentAttempt => ({
            stateHash: row.state_hash,
            accountId: row.account_id,
            sealed: row.sealed,
            redirectUrl: row.redirect_url,
            createdAt: row.created_at,
            expiresAt: row.expires_at
          }))
        ),
        asStoreError
      ),

    readOutbox: (after, limit) => {
      const read = sql`SELECT * FROM rekindle_outbox WHERE sequence > ${after} ORDER BY sequence LIMIT ${limit}`
      // Postgres gives sequence numbers before the commit. Waiting for the writers under way makes sure that no smaller one appears later;
      // those that come after us wait too, so one that hangs must not hold us for long.
      const afterWriters = sql`SET LOCAL lock_timeout = '2s'`.pipe(
        Effect.andThen(sql`LOCK TABLE rekindle_outbox IN SHARE MODE`),
        Effect.andThen(read),
        durably
      )
      const settled = isSqlite
        ? read
        : Effect.flatMap(read, (rows) => (rows.length === 0 ? Effect.succeed(rows) : afterWriters))
      return settled.pipe(
        Effect.flatMap(readable(OutboxRow, namedBy("rekindle_outbox", "sequence"))),
        Effect.map((rows) =>
          rows.map((row): OutboxEvent => ({
            sequence: row.sequence,
            projectId: row.project_id,
            accountId: row.account_id,
            type: row.type,
            status: row.status,
            statusReason: row.status_reason,
            generation: row.generation,
            at: row.at
          }))
        ),
        asStoreError
      )
    },

    trimOutbox: (through) =>
      durablyOne(sql`DELETE FROM rekindle_outbox WHERE sequence <= ${through}`).pipe(Effect.asVoid, asStoreError),

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
        // Given up between the two statements: the key is free again.
        if (rows.length === 0) return yield* reserve
        const row = yield* Schema.decodeUnknownEffect(KeyRow)(rows[0])
        return Option.some({ accountId: row.account_id, requestHash: row.request_hash, answer: row.answer })
      })
      return asStoreError(durably(reserve))
    },

    settleKey: (keyHash, answer) =>
      durablyOne(
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
      return Effect.all([durablyOne(keys), durablyOne(attempts)]).pipe(
        Effect.map((deleted) => Math.max(...deleted.map((rows) => rows.length))),
        asStoreError
      )
    },

    listSealed: (afterId, limit) =>
      sql`SELECT id, project_id, generation, revision, credential, previous_credential FROM rekindle_accounts
        WHERE id > ${afterId} ORDER BY id LIMIT ${limit}`.pipe(
        Effect.flatMap(readable(SealedRow, accountName)),
        Effect.map((rows) =>
          rows.map((row) => ({
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
      durablyOne(sql`UPDATE rekindle_accounts SET credential = ${credential}, previous_credential = ${previousCredential},
        revision = revision + 1
        WHERE id = ${id} AND revision = ${revision} RETURNING id`).pipe(
        Effect.map((rows) => rows.length === 1),
        asStoreError
      ),

    counts: (now) =>
      Effect.all([
        sql`SELECT status, COUNT(*) AS count FROM rekindle_accounts GROUP BY status`,
        sql`SELECT 'due' AS status, COUNT(*) AS count FROM rekindle_accounts WHERE renew_at <= ${now}`
      ]).pipe(
        Effect.flatMap(([byStatus, due]) => decodeAll(CountRow)([...byStatus, ...due])),
        Effect.map((rows) => ({
          byStatus: Object.fromEntries(
            rows.filter((row) => row.status !== "due").map((row) => [row.status, row.count])
          ),
          due: rows.find((row) => row.status === "due")?.count ?? 0
        })),
        asStoreError
      )
  })
})

/**
 * The account store on whatever `SqlClient` is there, its tables migrated first. Several processes may start on one Postgres at once:
 * those that find the migrations being run wait and look again.
 */
export const layer: Layer.Layer<
  AccountStore,
  Migrator.MigrationError | SqlError.SqlError | StoreError,
  SqlClient.SqlClient
> = Layer.effect(
  AccountStore,
  Effect.andThen(
    Effect.retry(migrate, {
      while: (error) => error._tag === "MigrationError" && error.kind === "Locked",
      schedule: Schedule.spaced("100 millis"),
      times: 50
    }),
    make
  )
)
