/**
 * An account as the engine stores it, and the status machine. The machine is the only way in which a status changes.
 *
 * The machine is a pure function, so tests cover it completely. Its rules:
 *
 * - A refresh never demotes an account.
 * - Only a credential that is confirmed dead expires an active account.
 * - While consent is pending, an account that is not active reads INITIATED. A poller must not take a status for final while somebody is
 *   looking at the consent page.
 *
 * @module
 */
import { type AuthScheme, type ConnectedAccountId, ConnectionEventType, type KnownStatus } from "@rekindle/core"
import { Schema } from "effect"
import type { SealContext, Sealed } from "../vault/CredentialVault.ts"

/**
 * Why an account is not active, or will soon stop being active. An ACTIVE account with a reason cannot be renewed any more, and stays in
 * service until its access token expires. The set is closed, because reasons are counted, matched and translated.
 */
export const StatusReason = Schema.Literals([
  /** The provider confirmed that the refresh token no longer works. */
  "grant_dead",
  /** The answer to a renewal was lost, and the provider does not honour the old token again. */
  "rotation_response_lost",
  /** The provider refused a static credential (API key, password), or the service's own credential. */
  "credential_rejected",
  /** The person denied the consent. */
  "consent_denied",
  /** The provider refused to exchange the consent for tokens. */
  "consent_failed",
  /** The consent was given by another person, or for another workspace, than the account belongs to. */
  "identity_mismatch",
  /** Nobody used the link before it expired. */
  "consent_lapsed",
  /** The application disabled the account. */
  "disabled",
  /** The application revoked the account. The credential is withdrawn at the provider too, if the provider has a way. */
  "revoked"
])
export type StatusReason = typeof StatusReason.Type

/** Why a credential can no longer be renewed. */
export type DeathReason = Extract<StatusReason, "grant_dead" | "rotation_response_lost" | "credential_rejected">

/** The credential that an open renewal spends. It is written with the lease, before anything is sent. */
export interface Intent {
  /** The generation whose refresh token is being spent. */
  readonly generation: number
  /** Epoch milliseconds of the first attempt to spend it. */
  readonly since: number
  /** How many times the refresh token has been sent. */
  readonly attempts: number
}

/** The right to renew the account. The epoch only grows, so it distinguishes this holder from every earlier one. */
export interface Lease {
  readonly owner: string
  readonly epoch: number
  /** Epoch milliseconds. */
  readonly until: number
}

/** One stored account. Times are epoch milliseconds. */
export interface Account {
  /** Unique in the store. */
  readonly id: ConnectedAccountId
  /**
   * The id that the application uses, unique in its project. It equals `id`, unless the application chose an id that another project
   * already had.
   */
  readonly publicId: ConnectedAccountId
  readonly projectId: string
  readonly authConfigId: string
  readonly toolkit: string
  readonly userId: string
  /** A name for people. No other account of the same project, user and toolkit has it. */
  readonly alias: string | null
  readonly scheme: AuthScheme
  readonly status: KnownStatus
  readonly statusReason: StatusReason | null
  /** Grows with every new credential. */
  readonly generation: number
  /** Grows with every write. Every compare-and-set is guarded by it. */
  readonly revision: number
  /** Identifies the consent that the credential descends from ({@link nextGrantId}). Only tokens of one grant are ordered by their leases. */
  readonly grantId: string
  readonly credential: Sealed | null
  readonly previousCredential: Sealed | null
  /** When the current credential was issued. 0 if there has been none. */
  readonly obtainedAt: number
  /**
   * The epoch of the lease under which the current credential was obtained. Of two answers of one grant the one with the later epoch is
   * newer, whatever the clocks of the machines say. Absent if no lease was needed (consent, import).
   */
  readonly obtainedEpoch?: number | undefined
  /** When the access token expires. Null if it does not expire. */
  readonly expiresAt: number | null
  /** When the account is due for the renewer. Null for never. */
  readonly renewAt: number | null
  /** When the latest pending consent ends. Null if none is pending. */
  readonly consentUntil: number | null
  readonly lease: Lease | null
  /** The last epoch that was given out, whether or not its lease still holds. */
  readonly epoch: number
  readonly intent: Intent | null
  /** The state of the withdrawal at the provider. Null unless the account is revoked. */
  readonly withdrawal: Withdrawal | null
  /** The result of the last attempt, for callers who waited for it. */
  readonly lastAttempt: AttemptResult | null
  readonly createdAt: number
  readonly updatedAt: number
}

/** The context that an account's credential is sealed in. The context of the previous credential has the generation before. */
export const credentialContext = ({
  generation,
  id,
  projectId
}: Pick<Account, "generation" | "id" | "projectId">): SealContext => ({
  purpose: "credential",
  projectId,
  owner: id,
  generation
})

/** The number of a grant. 0 if its id has none, because an older version of the engine has given it. */
export const grantNumber = ({ grantId }: Pick<Account, "grantId">): number => Number(/^(\d+):/.exec(grantId)?.[1] ?? 0)

/**
 * The id of a grant that follows the one that an account has. Its number is one higher, so a grant that a person gave after another is known
 * to be the later one, whatever the clocks of the machines say. Two grants that are given at the same time have the same number.
 */
export const nextGrantId = (uuid: string, held?: Pick<Account, "grantId">): string =>
  `${held === undefined ? 1 : grantNumber(held) + 1}:${uuid}`

/** The result of a renewal attempt that brought no new credential. Waiters in other processes return it. */
export const AttemptResult = Schema.Struct({
  epoch: Schema.Int,
  verdict: Schema.Literals([
    "Renewed",
    "NotRenewed",
    "Refused",
    "NotApplied",
    "Ambiguous",
    "Transient",
    "Dead",
    "AppFault",
    "Misconfigured"
  ]),
  /** The provider's code, or the engine's own code if nothing was sent. */
  code: Schema.NullOr(Schema.String),
  /** Until when callers get this result without another request to the provider, in epoch milliseconds. */
  retryAt: Schema.NullOr(Schema.Int),
  /** When it was stored, in epoch milliseconds. Absent in results that an older version stored. */
  at: Schema.optionalKey(Schema.Int),
  /** Since when every attempt has failed, in epoch milliseconds. The interval between attempts grows with this time. */
  since: Schema.optionalKey(Schema.Int),
  /** Whether it was reported that the account stopped working. */
  reported: Schema.optionalKey(Schema.Boolean)
})
export type AttemptResult = typeof AttemptResult.Type

/** The state of the withdrawal of a revoked account's credential. */
export const Withdrawal = Schema.Struct({
  /**
   * - `pending`: the credential may still work at the provider. The withdrawal is tried again.
   * - `confirmed`: the credential no longer works, and is erased.
   * - `unsupported`: the provider has no way to withdraw it. It is erased here, and works at the provider until it expires.
   */
  state: Schema.Literals(["pending", "confirmed", "unsupported"]),
  attempts: Schema.Int,
  /** While it is pending: the provider's last answer, or why the provider could not be asked. */
  answer: Schema.NullOr(Schema.String)
})
export type Withdrawal = typeof Withdrawal.Type

/** The events that can change an account's status. */
export type StatusEvent =
  | { readonly _tag: "Renewed" }
  /** The credential cannot be renewed any more. Its access token still works. */
  | { readonly _tag: "GrantDead"; readonly reason: DeathReason }
  /** Neither the access token nor the refresh token works. */
  | { readonly _tag: "CredentialDead"; readonly reason: DeathReason }
  | { readonly _tag: "ConsentStarted" }
  | { readonly _tag: "ConsentCompleted" }
  | {
      readonly _tag: "ConsentRefused"
      readonly reason: "consent_denied" | "consent_failed" | "identity_mismatch"
    }
  | { readonly _tag: "ConsentLapsed" }
  | { readonly _tag: "Disabled" }
  | { readonly _tag: "Enabled" }
  | { readonly _tag: "Revoked" }

/**
 * The announcements of a committed transition. `expiring` is announced once. `expired` follows, unless the account gets a new credential in
 * time.
 */
export const OutboxEventType = ConnectionEventType
export type OutboxEventType = ConnectionEventType

/** The status after an event, and the announcements. */
export interface Transition {
  readonly status: KnownStatus
  readonly statusReason: StatusReason | null
  readonly announce: ReadonlyArray<OutboxEventType>
}

type StatusState = Pick<Account, "status" | "statusReason">

/**
 * The status machine. It is total: an event that does not apply changes nothing and announces nothing, so late and repeated events are
 * harmless.
 */
export const transition = (from: StatusState, event: StatusEvent): Transition => {
  const stay: Transition = { status: from.status, statusReason: from.statusReason, announce: [] }
  const to = (
    status: KnownStatus,
    statusReason: StatusReason | null,
    ...announce: ReadonlyArray<OutboxEventType>
  ): Transition => ({
    status,
    statusReason,
    announce
  })
  const byHand = from.status === "INACTIVE" || from.status === "REVOKED"
  switch (event._tag) {
    case "Renewed":
      // The new credential is stored even if the account was disabled meanwhile. The status that the application chose stays.
      if (byHand) return { ...stay, announce: ["renewed"] }
      return from.status === "EXPIRED" ? to("ACTIVE", null, "renewed", "recovered") : to("ACTIVE", null, "renewed")
    case "GrantDead":
      return from.status === "ACTIVE" && from.statusReason === null ? to("ACTIVE", event.reason, "expiring") : stay
    case "CredentialDead":
      return from.status === "ACTIVE" ? to("EXPIRED", from.statusReason ?? event.reason, "expired") : stay
    case "ConsentStarted":
      if (byHand) return stay
      return from.status === "INITIALIZING" || from.status === "FAILED"
        ? to("INITIATED", null, "consent_started")
        : { ...stay, announce: ["consent_started"] }
    case "ConsentCompleted":
      if (byHand) return stay
      return from.status === "EXPIRED"
        ? to("ACTIVE", null, "consent_completed", "recovered")
        : to("ACTIVE", null, "consent_completed")
    case "ConsentRefused":
      return {
        ...(from.status === "INITIALIZING" || from.status === "INITIATED" ? to("FAILED", event.reason) : stay),
        announce: event.reason === "identity_mismatch" && from.status !== "REVOKED" ? ["identity_mismatch"] : []
      }
    case "ConsentLapsed":
      return from.status === "INITIATED" ? to("EXPIRED", "consent_lapsed", "expired") : stay
    case "Disabled":
      return from.status === "ACTIVE" ? to("INACTIVE", "disabled") : stay
    case "Enabled":
      return from.status === "INACTIVE" ? to("ACTIVE", null) : stay
    case "Revoked":
      return from.status === "REVOKED" ? stay : to("REVOKED", "revoked")
  }
}

/** Whether a credential that cannot be renewed is still in service, until its access token expires. */
export const isExpiring = ({ status, statusReason }: StatusState): boolean =>
  status === "ACTIVE" && statusReason !== null

/** Whether the credential is known to be dead, whether or not its access token is still in service. */
export const isKnownDead = (account: StatusState): boolean => account.status === "EXPIRED" || isExpiring(account)

/**
 * The status that others see now. Two statuses end by time alone: that of an access token that cannot be renewed, and that of a link of an
 * account that was never connected. Both then read EXPIRED, even if no process has stored it yet. A pending consent reads INITIATED.
 */
export const visibleStatus = (
  account: StatusState & Pick<Account, "consentUntil" | "credential" | "expiresAt" | "scheme">,
  now: number
): StatusState => {
  const { statusReason } = account
  const status = isExpiring(account) && isOver(account, now) ? "EXPIRED" : account.status
  if (status === "ACTIVE" || status === "INACTIVE" || status === "REVOKED") return { status, statusReason }
  if (account.consentUntil !== null && account.consentUntil > now) return { status: "INITIATED", statusReason: null }
  return status === "INITIATED" ? { status: "EXPIRED", statusReason: "consent_lapsed" } : { status, statusReason }
}

/** Whether the credential is in service. Its access token may be handed out until it expires. */
export const inService = (account: Pick<Account, "status">): boolean => account.status === "ACTIVE"

/** How far the clock of another machine may be ahead before the times that it stored are ignored, in milliseconds. */
const clockSkew = 60_000

/** Whether something was stored in the future, by a clock that was ahead. Then no time that was stored with it is known. */
export const isOfFuture = (at: number, now: number): boolean => at > now + clockSkew

/** Whether the access token has expired. An account with NO_AUTH has none that could. */
export const isOver = (
  { credential, expiresAt, scheme }: Pick<Account, "expiresAt" | "credential" | "scheme">,
  now: number
): boolean => (credential === null && scheme !== "NO_AUTH") || (expiresAt !== null && expiresAt <= now)

/**
 * Whether the access token can be used for another `atLeast` milliseconds, or for half of its life if that is less. Otherwise a token that
 * lives for a minute would be renewed at every use.
 *
 * A token that was obtained in the future was obtained while a clock was ahead. Its end is unknown, so it is neither usable nor over.
 */
export const isUsable = (
  account: Pick<Account, "status" | "expiresAt" | "obtainedAt" | "credential" | "scheme">,
  now: number,
  atLeast = 0
): boolean => {
  const { expiresAt, obtainedAt } = account
  if (!inService(account) || isOver(account, now)) return false
  return (
    expiresAt === null ||
    (!isOfFuture(obtainedAt, now) && expiresAt > now + Math.min(atLeast, (expiresAt - obtainedAt) / 2))
  )
}
