/**
 * The rows of the database, and their conversion to accounts.
 *
 * @module
 */
import { AuthScheme, ConnectedAccountId, KnownStatus } from "@rekindle/core"
import { Effect, Schema, SchemaTransformation } from "effect"
import { SchemaJITCompiler } from "effect/schema"
import { SqlError } from "effect/sql"
import { type Account, AttemptResult, OutboxEventType, StatusReason, Withdrawal } from "../account/Account.ts"
import { type AuthConfigRef, StoreError } from "../account/AccountStore.ts"
import { Sealed } from "../vault/CredentialVault.ts"

// Postgres returns 64-bit integers as bigint, SQLite as number. Epoch milliseconds and counters fit a double.
export const Int = Schema.Union([
  Schema.Number,
  Schema.BigInt.pipe(Schema.decodeTo(Schema.Number, SchemaTransformation.transform({ decode: Number, encode: BigInt })))
])
const MaybeInt = Schema.NullOr(Int)
export const MaybeText = Schema.NullOr(Schema.String)

export const AccountRow = Schema.Struct({
  id: ConnectedAccountId,
  public_id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String,
  toolkit: Schema.String,
  user_id: Schema.String,
  alias: MaybeText,
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

// Every renewal decodes an account row, so its decoder is compiled. A runtime that forbids generated code uses the ordinary decoder.
SchemaJITCompiler.enable(AccountRow.ast)

export const AttemptRow = Schema.Struct({
  state_hash: Schema.String,
  account_id: ConnectedAccountId,
  sealed: Sealed,
  redirect_url: MaybeText,
  created_at: Int,
  taken_at: MaybeInt,
  expires_at: Int
})

export const OutboxRow = Schema.Struct({
  sequence: Int,
  project_id: Schema.String,
  account_id: ConnectedAccountId,
  type: OutboxEventType,
  status: Schema.String,
  status_reason: MaybeText,
  generation: Int,
  at: Int
})

export const AuthConfigRow = Schema.Struct({
  id: Schema.String,
  project_id: Schema.String,
  sealed: Sealed,
  // Null if a process of an earlier version added it after the migration.
  created_at: MaybeInt,
  updated_at: Int,
  disabled_at: MaybeInt
})
export const CanaryRow = Schema.Struct({ key_id: Schema.String, canary: Sealed })
export const KeyRow = Schema.Struct({ account_id: ConnectedAccountId, request_hash: Schema.String, answer: MaybeText })
export const SealedRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  generation: Int,
  revision: Int,
  credential: Schema.NullOr(Sealed),
  previous_credential: Schema.NullOr(Sealed)
})
export const DueConfigRow = Schema.Struct({ project_id: Schema.String, auth_config_id: Schema.String, renew_at: Int })
export const DueRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String,
  generation: Int,
  renew_at: Int,
  under_way: Int
})
export const AbandonedRow = Schema.Struct({
  id: ConnectedAccountId,
  project_id: Schema.String,
  auth_config_id: Schema.String
})
export const PutConfigRow = Schema.Struct({ created_at: MaybeInt, disabled_at: MaybeInt })

/** Positions in lists, read from the last row of a page. */
export const AccountPlaceRow = Schema.Struct({ createdAt: Int, updatedAt: Int, id: Schema.String }).pipe(
  Schema.encodeKeys({ createdAt: "created_at", updatedAt: "updated_at" })
)
export const AbandonedPlaceRow = Schema.Struct({ since: Int, id: Schema.String }).pipe(
  Schema.encodeKeys({ since: "intent_since" })
)
export const IdPlaceRow = Schema.Struct({ id: Schema.String })
export const SequencePlaceRow = Schema.Struct({ sequence: Int })

export const LeaseRow = Schema.Struct({ lease_until: Int, intent_since: Int, clock: Int, leases: Int })
export const SpanRow = Schema.Struct({ span: Int, count: Int })
export const CountRow = Schema.Struct({ count: Int })
export const ConfigCountRow = Schema.Struct({ auth_config_id: Schema.String, count: Int })
export const StatusCountRow = Schema.Struct({ status: Schema.String, count: Int })

/** Auth config ids are unique in their project. The database key is the project, a slash and the id. No config id has a slash. */
export const configKey = ({ authConfigId, projectId }: AuthConfigRef): string => `${projectId}/${authConfigId}`
export const configIdOf = (key: string): string => key.slice(key.lastIndexOf("/") + 1)
export const configRefOf = (row: { readonly project_id: string; readonly auth_config_id: string }): AuthConfigRef => ({
  projectId: row.project_id,
  authConfigId: configIdOf(row.auth_config_id)
})

/** The account of a row. `now` is the reader's clock, and `row.clock` the clock of the row's lease and intent. */
export const toAccount = (row: typeof AccountRow.Type, now: number): Account => ({
  id: row.id,
  publicId: row.public_id,
  ...configRefOf(row),
  toolkit: row.toolkit,
  userId: row.user_id,
  alias: row.alias,
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
export const changeable = (account: Account) => ({
  alias: account.alias,
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

export const encodeResult = Schema.encodeSync(Schema.fromJsonString(AttemptResult))

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
 * Turns the client's defects into failures, so that the caller can try again. The client reports a connection that was lost during a
 * statement as a defect.
 */
export const asFailure = <A, E, R>(asked: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.catchDefect(asked, (defect) => (SqlError.isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect)))

export const asStoreError = <A, R>(
  asked: Effect.Effect<A, SqlError.SqlError | Schema.SchemaError, R>
): Effect.Effect<A, StoreError, R> => Effect.mapError(asFailure(asked), storeError)

export const decodeAll = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) =>
  Schema.decodeUnknownEffect(Schema.Array(schema))

/** Decodes the first row. */
export const first =
  <A, E>(decode: (row: unknown) => Effect.Effect<A, E>) =>
  (rows: ReadonlyArray<unknown>) =>
    rows.length === 0 ? Effect.succeedNone : Effect.asSome(decode(rows[0]))
