/**
 * Where accounts live. A port: the engine speaks to this and never to SQL, and one contract suite holds every store to it.
 *
 * Two operations carry the safety. `begin` takes the lease and writes the intent in one statement, so there is no moment in which
 * a token is being spent and nobody knows. `write` is a compare-and-set on the revision and appends to the outbox in the same
 * transaction, so a stale owner cannot overwrite, and nothing is announced that did not happen.
 *
 * Operations that return many rows leave out those that do not decode, and report each of them once: one bad row stops nobody else.
 *
 * @module
 */
import type { ConnectedAccountId, KnownStatus } from "@rekindle/core"
import { Context, type Effect, type Option, Schema } from "effect"
import type { Account, AttemptResult, OutboxEventType } from "./Account.ts"
import type { Sealed } from "../vault/CredentialVault.ts"

/** A statement failed. Whether a write took effect may be unknown. Every write is guarded, so it can be repeated. */
export class StoreError extends Schema.TaggedError<StoreError>("@rekindle/engine/StoreError")("StoreError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** Names an auth config: ids are unique in their project. */
export interface AuthConfigRef {
  readonly projectId: string
  readonly authConfigId: string
}

/** A value sealed with one key of the ring. Whoever opens it has that key. */
export interface Canary {
  readonly keyId: string
  readonly sealed: Sealed
}

/** A sealed auth config as stored. */
export interface StoredAuthConfig {
  readonly id: string
  readonly projectId: string
  readonly sealed: Sealed
  readonly updatedAt: number
  /** Since when it is switched off; null while it is in service. */
  readonly disabledAt: number | null
}

/** Selects accounts of a project. An absent field selects all. A field with several values selects accounts with any of them. */
export interface AccountQuery {
  readonly projectId: string
  readonly userIds?: ReadonlyArray<string> | undefined
  readonly authConfigIds?: ReadonlyArray<string> | undefined
  readonly toolkits?: ReadonlyArray<string> | undefined
  /** Their public ids. */
  readonly ids?: ReadonlyArray<ConnectedAccountId> | undefined
  /** The statuses that others see at `now`. */
  readonly statuses?: ReadonlyArray<KnownStatus> | undefined
  readonly now: number
}

/** A page of a list. */
export interface Page<Item, Place> {
  readonly items: ReadonlyArray<Item>
  /** How many rows of the page do not decode. Each is left out and reported. */
  readonly unreadable: number
  /** The place to go on after. Undefined on the last page. */
  readonly next: Place | undefined
}

/** A place in the list of a project's accounts, which has the newest first. */
export interface AccountPlace {
  readonly createdAt: number
  readonly id: string
}

/** One attempt at consent: found by the hash of its one-use state. */
export interface ConsentAttempt {
  readonly stateHash: string
  readonly accountId: ConnectedAccountId
  /** While it is open, what completing it takes (PKCE verifier, request-token secret and so on); once it is taken, how it ended. */
  readonly sealed: Sealed
  /** Where the person lands afterwards. */
  readonly redirectUrl: string | null
  readonly createdAt: number
  /** When its state was used; null while it is open. */
  readonly takenAt: number | null
  /** Until when it can be completed. Once it is taken: until when its end is remembered. */
  readonly expiresAt: number
}

/** What is sealed of an account, and the context of its seals. */
export type SealedAccount = Pick<
  Account,
  "id" | "projectId" | "generation" | "revision" | "credential" | "previousCredential"
>

/** A committed announcement. */
export interface OutboxEvent {
  readonly sequence: number
  readonly projectId: string
  /** As the project calls it. */
  readonly accountId: ConnectedAccountId
  readonly type: OutboxEventType
  readonly status: string
  readonly statusReason: string | null
  readonly generation: number
  readonly at: number
}

/** A place in a list that is ordered by the key of the table. */
export interface IdPlace {
  readonly id: string
}

/** A place in the list of abandoned accounts. `since` is the time of the intent. */
export interface AbandonedPlace {
  readonly since: number
  readonly id: string
}

/** The remembered first answer under an idempotency key. `answer` is null while the first request is still at work. */
export interface IdempotencyRecord {
  readonly accountId: ConnectedAccountId
  readonly requestHash: string
  readonly answer: string | null
}

/** Storage of accounts, auth configs, consent attempts and events. */
export class AccountStore extends Context.Service<
  AccountStore,
  {
    /** Adds a config, or replaces what is sealed in it. One that is switched off stays so. Returns the row that it wrote. */
    readonly putAuthConfig: (
      config: Omit<StoredAuthConfig, "disabledAt">
    ) => Effect.Effect<StoredAuthConfig, StoreError>
    readonly findAuthConfig: (config: AuthConfigRef) => Effect.Effect<Option.Option<StoredAuthConfig>, StoreError>
    /** Auth configs ordered by project and id: of one project, or of all. */
    readonly listAuthConfigs: (query: {
      readonly projectId?: string | undefined
      readonly after?: IdPlace | undefined
      readonly limit: number
    }) => Effect.Effect<Page<StoredAuthConfig, IdPlace>, StoreError>
    /** Switches a config off at `disabledAt`, or with null on. False: it is not there. */
    readonly switchAuthConfig: (config: AuthConfigRef, disabledAt: number | null) => Effect.Effect<boolean, StoreError>
    /** Deletes a config that has no accounts. */
    readonly removeAuthConfig: (config: AuthConfigRef) => Effect.Effect<"removed" | "absent" | "in-use", StoreError>

    /**
     * Says that the database was put back from an older snapshot: every credential may have been spent since, at an unknown time. Gives
     * the number of accounts with one.
     */
    readonly doubtAll: Effect.Effect<number, StoreError>

    /** Adds a new account; false if one of its ids is taken, or its `id` was an account's that is removed. */
    readonly insert: (account: Account) => Effect.Effect<boolean, StoreError>
    readonly find: (id: ConnectedAccountId) => Effect.Effect<Option.Option<Account>, StoreError>
    /** Finds an account by the id that its project uses. */
    readonly findIn: (
      projectId: string,
      publicId: ConnectedAccountId
    ) => Effect.Effect<Option.Option<Account>, StoreError>

    /** Accounts after a place in the list, the newest first. */
    readonly list: (
      query: AccountQuery & { readonly after?: AccountPlace | undefined; readonly limit: number }
    ) => Effect.Effect<Page<Account, AccountPlace>, StoreError>
    /** How many accounts there are. */
    readonly count: (query: AccountQuery) => Effect.Effect<number, StoreError>

    /**
     * Deletes an account with its consent attempts and remembered answers, in one transaction, and remembers its `id`: an answer that a
     * journal still holds for it is thrown away. False: it is not there.
     */
    readonly remove: (
      account: Pick<Account, "id" | "projectId" | "publicId">,
      now: number
    ) => Effect.Effect<boolean, StoreError>
    /** Whether an account of that id was there and is removed. */
    readonly isRemoved: (id: ConnectedAccountId) => Effect.Effect<boolean, StoreError>

    /**
     * Takes the lease and writes the intent in one statement, if the account is still at its revision and epoch, and no lease holds. With
     * `takeOver` a lease of that epoch is taken whatever the clock says: the caller has watched it for longer than leases last. None:
     * someone else was faster.
     */
    readonly begin: (request: {
      readonly account: Account
      readonly owner: string
      readonly leaseMillis: number
      readonly now: number
      readonly takeOver?: boolean | undefined
    }) => Effect.Effect<Option.Option<Account>, StoreError>

    /**
     * Writes what changed between `from` and `to` if the stored revision is still `from`'s, and appends the announcements, in one
     * transaction. Returns `to` at its new revision: its lease, intent and last attempt are those of `to`, unless the write ends them, and may have
     * been changed by somebody else. None: the row has moved on; read it again and decide anew. `at` is the time that is announced; `to`'s
     * `updatedAt` if absent.
     *
     * A new generation ends whatever lease and intent there are: they were about the credential before it. Without one, they end with
     * `endLease`, and then only that epoch may write, if it is still the last one given out.
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
     * Gives the lease back without a new credential, and stores the result for those who wait. The intent stays if the token may be spent, and
     * the lease too while the answer may still come. A lease that a new credential has ended is left as it is.
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

    /** Auth configs that have accounts due at `now`, and since when the oldest of those is due. */
    readonly dueConfigs: (
      now: number
    ) => Effect.Effect<ReadonlyArray<AuthConfigRef & { readonly dueAt: number }>, StoreError>

    /**
     * Hands out accounts of one auth config due at `now`, soonest first, and moves each one's due time to `nextLook`: another process
     * asking at the same time gets others. `dueAt` is the time that each was due at. `isUnderWay`: its intent is open and a process has its
     * lease, which renews it or has died meanwhile ({@link findAbandoned}).
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
     * Accounts whose intent is open while no lease holds: a process died there. Without those that are switched off or revoked. The oldest
     * intents come first.
     */
    readonly findAbandoned: (request: {
      readonly now: number
      readonly limit: number
      readonly after?: AbandonedPlace | undefined
    }) => Effect.Effect<Page<Pick<Account, "id" | "projectId" | "authConfigId">, AbandonedPlace>, StoreError>

    readonly findAttempt: (stateHash: string) => Effect.Effect<Option.Option<ConsentAttempt>, StoreError>
    /** Writes `sealed`, `takenAt` and `expiresAt` of a consent attempt, if what is sealed there is still `from`'s. False: somebody was faster. */
    readonly writeAttempt: (change: {
      readonly from: ConsentAttempt
      readonly to: ConsentAttempt
    }) => Effect.Effect<boolean, StoreError>

    /**
     * Events after the sequence `after`, oldest first. Sequences have gaps where nothing is missing. An event stays until the application trims the outbox,
     * and for 30 days at most unless `retention.events` of the engine says otherwise. Whoever comes back after a while asks for
     * `forgottenThrough` after reading: if that is more than `after`, events between the two are gone.
     */
    readonly readOutbox: (
      after: number,
      limit: number,
      projectId?: string
    ) => Effect.Effect<Page<OutboxEvent, Pick<OutboxEvent, "sequence">>, StoreError>
    /** The sequence of the last event that was trimmed or swept; 0 if none was. */
    readonly forgottenThrough: Effect.Effect<number, StoreError>
    /** Forgets events up to and including `through`. */
    readonly trimOutbox: (through: number) => Effect.Effect<void, StoreError>
    /** Forgets the oldest events, at most `limit`, as far as they are older than `before`. Returns how many. */
    readonly sweepOutbox: (request: {
      readonly before: number
      readonly limit: number
    }) => Effect.Effect<number, StoreError>

    /** Reserves an idempotency key, or returns what is remembered under it. A record older than `expireBefore` counts as absent. */
    readonly reserveKey: (request: {
      readonly keyHash: string
      readonly accountId: ConnectedAccountId
      readonly requestHash: string
      readonly now: number
      readonly expireBefore: number
    }) => Effect.Effect<Option.Option<IdempotencyRecord>, StoreError>
    /** Remembers the answer, or with null forgets the key so that it can be used again. */
    readonly settleKey: (keyHash: string, answer: string | null) => Effect.Effect<void, StoreError>

    /**
     * Deletes at most `limit` idempotency records older than `keysBefore`, and as many consent attempts that expired before `now`. Rows that
     * somebody else holds are left for the next time. Returns the larger of both counts: less than `limit` means that nothing is left.
     */
    readonly sweep: (request: {
      readonly now: number
      readonly keysBefore: number
      readonly limit: number
    }) => Effect.Effect<number, StoreError>

    /** Sealed values of accounts, ordered by `id`, for sealing them again under a new key. */
    readonly listSealed: (query: {
      readonly after?: IdPlace | undefined
      readonly limit: number
    }) => Effect.Effect<Page<SealedAccount, IdPlace>, StoreError>
    /** Replaces sealed values in place if the account is still at `revision`. The generation stays. */
    readonly reseal: (
      account: Pick<Account, "id" | "revision" | "credential" | "previousCredential">
    ) => Effect.Effect<boolean, StoreError>
    /** The same for an auth config, if what is sealed there is still `from`. */
    readonly resealAuthConfig: (config: {
      readonly projectId: string
      readonly id: string
      readonly from: Sealed
      readonly to: Sealed
    }) => Effect.Effect<boolean, StoreError>
    /** One sealed value for each key that may have sealed something here. */
    readonly listCanaries: Effect.Effect<ReadonlyArray<Canary>, StoreError>
    /** Adds one, unless the key has one. */
    readonly putCanary: (canary: Canary) => Effect.Effect<void, StoreError>
    readonly removeCanary: (keyId: string) => Effect.Effect<void, StoreError>

    /** How many accounts stand in each status, and how many are due at `now`. */
    readonly counts: (
      now: number
    ) => Effect.Effect<{ readonly byStatus: Readonly<Record<string, number>>; readonly due: number }, StoreError>
  }
>()("@rekindle/engine/AccountStore") {}
