/**
 * The port to the account store. The engine uses only this interface and never SQL. One contract suite tests every store.
 *
 * Two operations keep tokens safe:
 *
 * - `begin` takes the lease and writes the intent in one statement. A token is never spent without a record of it.
 * - `write` is a compare-and-set on the revision, and appends to the outbox in the same transaction. A stale owner cannot overwrite a newer
 *   state, and every announcement is of a committed change.
 *
 * Operations that return many rows leave out rows that do not decode, and report each of them once. One bad row affects no other account.
 *
 * @module
 */
import type { ConnectedAccountId, KnownStatus, ListOptions } from "@rekindle/core"
import { Context, type Effect, type Option, Schema } from "effect"
import type { Account, AttemptResult, OutboxEventType } from "./Account.ts"
import type { Sealed } from "../vault/CredentialVault.ts"

/** A statement failed. Whether a write took effect may be unknown. Every write is guarded, so it can be repeated. */
export class StoreError extends Schema.TaggedError<StoreError>("@rekindle/engine/StoreError")("StoreError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** Identifies an auth config. Its id is unique in its project. */
export interface AuthConfigRef {
  readonly projectId: string
  readonly authConfigId: string
}

/** A known value, sealed with one key of the ring. A process that can open it has that key. */
export interface Canary {
  readonly keyId: string
  readonly sealed: Sealed
}

/** A sealed auth config as stored. */
export interface StoredAuthConfig {
  readonly id: string
  readonly projectId: string
  readonly sealed: Sealed
  readonly createdAt: number
  readonly updatedAt: number
  /** When it was disabled. Null while it is in service. */
  readonly disabledAt: number | null
}

/** Selects accounts of a project. An absent field does not filter. A field with several values selects accounts with any of them. */
export interface AccountQuery {
  readonly projectId: string
  readonly userIds?: ReadonlyArray<string> | undefined
  readonly authConfigIds?: ReadonlyArray<string> | undefined
  readonly toolkits?: ReadonlyArray<string> | undefined
  readonly aliases?: ReadonlyArray<string> | undefined
  /** The public ids of accounts. */
  readonly ids?: ReadonlyArray<ConnectedAccountId> | undefined
  /** The statuses that others see at `now`. */
  readonly statuses?: ReadonlyArray<KnownStatus> | undefined
  /** Only accounts that cannot be renewed, whose last attempt failed, or whose consent failed. */
  readonly isFailing?: boolean | undefined
  readonly now: number
}

/** A page of a list. */
export interface Page<Item, Place> {
  readonly items: ReadonlyArray<Item>
  /** How many rows of the page do not decode. Each is left out and reported. */
  readonly unreadable: number
  /** The position after which the next page starts. Undefined on the last page. */
  readonly next: Place | undefined
}

/** A position in the list of a project's accounts. */
export interface AccountPlace {
  readonly createdAt: number
  readonly updatedAt: number
  readonly id: string
}

/** One attempt at consent. It is found by the hash of its one-use state. */
export interface ConsentAttempt {
  readonly stateHash: string
  readonly accountId: ConnectedAccountId
  /**
   * While the attempt is open: the values that its completion needs (such as the PKCE verifier or the request-token secret). After the
   * state was used: the result.
   */
  readonly sealed: Sealed
  /** The address where the person lands after the consent. */
  readonly redirectUrl: string | null
  readonly createdAt: number
  /** When the state was used. Null while the attempt is open. */
  readonly takenAt: number | null
  /** Until when the attempt can be completed. After the state was used: until when the result is kept. */
  readonly expiresAt: number
}

/** The sealed values of an account, and the context of its seals. */
export type SealedAccount = Pick<
  Account,
  "id" | "projectId" | "generation" | "revision" | "credential" | "previousCredential"
>

/** A committed event of the outbox. */
export interface OutboxEvent {
  readonly sequence: number
  readonly projectId: string
  /** The account's public id. */
  readonly accountId: ConnectedAccountId
  readonly type: OutboxEventType
  readonly status: string
  readonly statusReason: string | null
  readonly generation: number
  readonly at: number
}

/** A position in a list that is ordered by the key of the table. */
export interface IdPlace {
  readonly id: string
}

/** A position in the list of abandoned accounts. `since` is the time of the intent. */
export interface AbandonedPlace {
  readonly since: number
  readonly id: string
}

/** The first answer under an idempotency key. `answer` is null while the first request is in flight. */
export interface IdempotencyRecord {
  readonly accountId: ConnectedAccountId
  readonly requestHash: string
  readonly answer: string | null
}

/** Storage of accounts, auth configs, consent attempts and events. */
export class AccountStore extends Context.Service<
  AccountStore,
  {
    /**
     * Adds a config, created at `updatedAt`, or replaces the sealed value of an existing one. A disabled config stays disabled. Returns the
     * stored row.
     */
    readonly putAuthConfig: (
      config: Omit<StoredAuthConfig, "createdAt" | "disabledAt">
    ) => Effect.Effect<StoredAuthConfig, StoreError>
    readonly findAuthConfig: (config: AuthConfigRef) => Effect.Effect<Option.Option<StoredAuthConfig>, StoreError>
    /** Auth configs of one project, or of all projects, ordered by project and id. */
    readonly listAuthConfigs: (query: {
      readonly projectId?: string | undefined
      readonly isDisabled?: boolean | undefined
      readonly after?: IdPlace | undefined
      readonly limit: number
    }) => Effect.Effect<Page<StoredAuthConfig, IdPlace>, StoreError>
    /** The number of a project's auth configs. */
    readonly countAuthConfigs: (query: {
      readonly projectId: string
      readonly isDisabled?: boolean | undefined
    }) => Effect.Effect<number, StoreError>
    /** Disables a config at `disabledAt`, or enables it if that is null. False if there is no such config. */
    readonly switchAuthConfig: (config: AuthConfigRef, disabledAt: number | null) => Effect.Effect<boolean, StoreError>
    /** Deletes a config that has no accounts. */
    readonly removeAuthConfig: (config: AuthConfigRef) => Effect.Effect<"removed" | "absent" | "in-use", StoreError>

    /**
     * Records that the database was restored from an older snapshot: every credential may have been spent since, at an unknown time.
     * Returns the number of accounts with a credential.
     */
    readonly doubtAll: Effect.Effect<number, StoreError>

    /** Adds a new account. False if one of its ids or its alias is taken, or if its `id` belonged to an account that was removed. */
    readonly insert: (account: Account) => Effect.Effect<boolean, StoreError>
    readonly find: (id: ConnectedAccountId) => Effect.Effect<Option.Option<Account>, StoreError>
    /** Finds an account by the id that its project uses. */
    readonly findIn: (
      projectId: string,
      publicId: ConnectedAccountId
    ) => Effect.Effect<Option.Option<Account>, StoreError>

    /** Accounts after a position in the list. By default the newest come first. */
    readonly list: (
      query: AccountQuery &
        Pick<ListOptions, "direction" | "orderBy"> & {
          readonly after?: AccountPlace | undefined
          readonly limit: number
        }
    ) => Effect.Effect<Page<Account, AccountPlace>, StoreError>
    /** The number of accounts that the query selects. */
    readonly count: (query: AccountQuery) => Effect.Effect<number, StoreError>

    /**
     * Deletes an account with its consent attempts and idempotency records, in one transaction. The `id` is remembered, so that an answer
     * for it that a journal still holds is dropped. False if there is no such account.
     */
    readonly remove: (
      account: Pick<Account, "id" | "projectId" | "publicId">,
      now: number
    ) => Effect.Effect<boolean, StoreError>
    /** Whether an account with that id existed and was removed. */
    readonly isRemoved: (id: ConnectedAccountId) => Effect.Effect<boolean, StoreError>

    /**
     * Takes the lease and writes the intent in one statement, if the account is still at its revision and epoch, and no lease holds. With
     * `takeOver`, a lease of that epoch is taken whatever the clock says, because the caller has watched it for longer than a lease lasts.
     * None if another process was faster.
     */
    readonly begin: (request: {
      readonly account: Account
      readonly owner: string
      readonly leaseMillis: number
      readonly now: number
      readonly takeOver?: boolean | undefined
    }) => Effect.Effect<Option.Option<Account>, StoreError>

    /**
     * Writes the changes between `from` and `to`, and appends the announcements, in one transaction, if the stored revision is still that
     * of `from`. `at` is the time of the announcements, by default `to.updatedAt`.
     *
     * Returns `to` with its new revision. Its lease, intent and last attempt are those of `to`, unless the write ends them, and another
     * process may have changed them. None if the stored revision is newer, or another account has taken the new alias: read the account
     * again and decide again.
     *
     * A new generation ends the lease and the intent, because they were for the credential before it. Without a new generation, they end
     * with `endLease`. Then the write succeeds only if that epoch is still the last one that was given out.
     */
    readonly write: (change: {
      readonly from: Account
      readonly to: Account
      readonly announce: ReadonlyArray<OutboxEventType>
      readonly at?: number | undefined
      readonly endLease?: number | undefined
      readonly attempt?: ConsentAttempt | undefined
    }) => Effect.Effect<Option.Option<Account>, StoreError>

    /**
     * Gives the lease back without a new credential, and stores the result for waiters. The intent stays if the token may have been spent,
     * and the lease too while the answer may still arrive. A lease that a new credential has ended is not changed.
     */
    readonly release: (request: {
      readonly id: ConnectedAccountId
      readonly epoch: number
      readonly keepIntent: boolean
      readonly keepLease?: boolean | undefined
      readonly renewAt: number | null
      readonly result: AttemptResult
    }) => Effect.Effect<void, StoreError>

    /** Clears the failures of an auth config's accounts and makes them due at `now`, because the cause may be fixed. */
    readonly resume: (request: {
      readonly config: AuthConfigRef
      readonly now: number
    }) => Effect.Effect<void, StoreError>

    /** Auth configs with accounts that are due at `now`, and since when the oldest of these accounts is due. */
    readonly dueConfigs: (
      now: number
    ) => Effect.Effect<ReadonlyArray<AuthConfigRef & { readonly dueAt: number }>, StoreError>

    /**
     * Claims accounts of one auth config that are due at `now`, oldest due time first, and moves the due time of each to `nextLook`.
     * Another process that claims at the same time gets other accounts. `dueAt` is the due time before the claim. `isUnderWay` means that
     * the account has an open intent and a lease: its holder is renewing it, or has died ({@link findAbandoned}).
     */
    readonly claimDue: (request: {
      readonly config: AuthConfigRef
      readonly now: number
      readonly nextLook: number
      readonly limit: number
    }) => Effect.Effect<
      ReadonlyArray<
        Pick<Account, "id" | "projectId" | "authConfigId" | "generation"> & {
          readonly dueAt: number
          readonly isUnderWay: boolean
        }
      >,
      StoreError
    >

    /**
     * Accounts with an open intent and no lease that holds, because a process died while renewing them. Oldest intent first. Disabled and
     * revoked accounts are left out.
     */
    readonly findAbandoned: (request: {
      readonly now: number
      readonly limit: number
      readonly after?: AbandonedPlace | undefined
    }) => Effect.Effect<Page<Pick<Account, "id" | "projectId" | "authConfigId">, AbandonedPlace>, StoreError>

    readonly findAttempt: (stateHash: string) => Effect.Effect<Option.Option<ConsentAttempt>, StoreError>
    /**
     * Writes `sealed`, `takenAt` and `expiresAt` of a consent attempt, if its stored `sealed` is still that of `from`. False if another
     * process was faster.
     */
    readonly writeAttempt: (change: {
      readonly from: ConsentAttempt
      readonly to: ConsentAttempt
    }) => Effect.Effect<boolean, StoreError>

    /**
     * Events after the sequence `after`, oldest first. Sequences may have gaps although no event is missing.
     *
     * An event stays until the application trims the outbox, and at most 30 days unless `retention.events` of the engine is set. A reader
     * that returns after a while reads `forgottenThrough` after reading events: if that is more than `after`, the events between the two
     * are gone.
     */
    readonly readOutbox: (
      after: number,
      limit: number,
      projectId?: string
    ) => Effect.Effect<Page<OutboxEvent, Pick<OutboxEvent, "sequence">>, StoreError>
    /** The sequence of the last event that was trimmed or swept. 0 if none was. */
    readonly forgottenThrough: Effect.Effect<number, StoreError>
    /** Deletes events up to and including `through`. */
    readonly trimOutbox: (through: number) => Effect.Effect<void, StoreError>
    /** Deletes the oldest events that are older than `before`, at most `limit`. Returns the number of deleted events. */
    readonly sweepOutbox: (request: {
      readonly before: number
      readonly limit: number
    }) => Effect.Effect<number, StoreError>

    /** Reserves an idempotency key, or returns the record under it. A record older than `expireBefore` counts as absent. */
    readonly reserveKey: (request: {
      readonly keyHash: string
      readonly accountId: ConnectedAccountId
      readonly requestHash: string
      readonly now: number
      readonly expireBefore: number
    }) => Effect.Effect<Option.Option<IdempotencyRecord>, StoreError>
    /** Stores the answer under the key. With null, deletes the key so that it can be used again. */
    readonly settleKey: (keyHash: string, answer: string | null) => Effect.Effect<void, StoreError>

    /**
     * Deletes at most `limit` idempotency records older than `keysBefore`, and as many consent attempts that expired before `now`. Rows
     * that another process has locked are skipped. Returns the larger of both counts. Less than `limit` means that nothing is left to
     * delete.
     */
    readonly sweep: (request: {
      readonly now: number
      readonly keysBefore: number
      readonly limit: number
    }) => Effect.Effect<number, StoreError>

    /** Sealed values of accounts, ordered by `id`, to be sealed again with a new key. */
    readonly listSealed: (query: {
      readonly after?: IdPlace | undefined
      readonly limit: number
    }) => Effect.Effect<Page<SealedAccount, IdPlace>, StoreError>
    /** Replaces the sealed values of an account if it is still at `revision`. The generation stays. */
    readonly reseal: (
      account: Pick<Account, "id" | "revision" | "credential" | "previousCredential">
    ) => Effect.Effect<boolean, StoreError>
    /** Replaces the sealed value of an auth config if it is still `from`. Without `updatedAt` nothing else changes. */
    readonly writeAuthConfig: (config: {
      readonly projectId: string
      readonly id: string
      readonly from: Sealed
      readonly to: Sealed
      readonly updatedAt?: number | undefined
    }) => Effect.Effect<boolean, StoreError>
    /** One sealed value for each key that may have sealed a stored value. */
    readonly listCanaries: Effect.Effect<ReadonlyArray<Canary>, StoreError>
    /** Adds a canary, unless its key already has one. */
    readonly putCanary: (canary: Canary) => Effect.Effect<void, StoreError>
    readonly removeCanary: (keyId: string) => Effect.Effect<void, StoreError>

    /**
     * How many accounts of a project are due in each of `steps` spans of `step` milliseconds from `from`. The first counts those that are
     * overdue too.
     */
    readonly dueCurve: (query: {
      readonly projectId: string
      readonly from: number
      readonly step: number
      readonly steps: number
    }) => Effect.Effect<ReadonlyArray<number>, StoreError>

    /** The number of accounts in each status, and the number of accounts that are due at `now`. */
    readonly counts: (
      now: number
    ) => Effect.Effect<{ readonly byStatus: Readonly<Record<string, number>>; readonly due: number }, StoreError>
  }
>()("@rekindle/engine/AccountStore") {}
