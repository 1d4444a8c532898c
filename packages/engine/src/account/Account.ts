/**
 * An account as the engine keeps it, and the status machine that is the only way it changes.
 *
 * The machine is a pure function, so it can be tested whole. Its rules: a refresh never demotes; only a confirmed dead credential
 * expires an active account; while consent is pending, an account that is not active reads INITIATED, so that no poller takes a
 * status for final while somebody is looking at the consent page.
 *
 * @module
 */
import { type AuthScheme, type ConnectedAccountId, ConnectionEventType, type KnownStatus } from "@rekindle/core"
import { Schema } from "effect"
import type { SealContext, Sealed } from "../vault/CredentialVault.ts"

/**
 * Why an account is not active, or will not be for long: an ACTIVE account with a reason cannot be renewed any more, and is in service to
 * the end of its access token. A closed set: it is counted, matched and translated.
 */
export const StatusReason = Schema.Literals([
  /** The provider confirmed that the refresh token no longer works. */
  "grant_dead",
  /** A renewal's answer was lost and the provider does not honour the old token again. */
  "rotation_response_lost",
  /** The provider refused a static credential (API key, password) or the service's own. */
  "credential_rejected",
  /** The person said no. */
  "consent_denied",
  /** The provider refused to exchange the consent for tokens. */
  "consent_failed",
  /** The consent was another person's, or for another workspace, than the account is of. */
  "identity_mismatch",
  /** Nobody used the link in time. */
  "consent_lapsed",
  /** Switched off by hand. */
  "disabled",
  /** Withdrawn by hand, at the provider too where it can be. */
  "revoked"
])
export type StatusReason = typeof StatusReason.Type

/** Why a credential can no longer be renewed. */
export type DeathReason = Extract<StatusReason, "grant_dead" | "rotation_response_lost" | "credential_rejected">

/** What an open renewal was about to spend: written with the lease, before anything is sent. */
export interface Intent {
  /** The generation whose refresh token is being spent. */
  readonly generation: number
  /** Epoch milliseconds of the first attempt to spend it. */
  readonly since: number
  /** How many times it has been sent. */
  readonly attempts: number
}

/** Who may renew the account now. The epoch only ever grows: it tells this holder from every earlier one. */
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
  /** What the application calls it, unique in its project: `id`, unless it brought an id that another project had already. */
  readonly publicId: ConnectedAccountId
  readonly projectId: string
  readonly authConfigId: string
  readonly toolkit: string
  readonly userId: string
  readonly scheme: AuthScheme
  readonly status: KnownStatus
  readonly statusReason: StatusReason | null
  /** Grows with every new credential. */
  readonly generation: number
  /** Grows with every write; the compare-and-set guard of them all. */
  readonly revision: number
  /** Identifies the consent the credential descends from: only tokens of one grant are newer or older than each other. */
  readonly grantId: string
  readonly credential: Sealed | null
  readonly previousCredential: Sealed | null
  /** When the present credential was issued; 0 before the first. */
  readonly obtainedAt: number
  /**
   * The epoch of the lease under which it was. Of two answers of one grant the one of the later epoch is newer, whatever the machines'
   * clocks say. Absent where no lease was needed: consent, import.
   */
  readonly obtainedEpoch?: number | undefined
  /** When the access token expires; null if it does not. */
  readonly expiresAt: number | null
  /** When the account is due for the renewer; null for never. */
  readonly renewAt: number | null
  /** The end of the latest pending consent, or null. */
  readonly consentUntil: number | null
  readonly lease: Lease | null
  /** The last epoch given out, whether or not it still holds. */
  readonly epoch: number
  readonly intent: Intent | null
  /** The state of the withdrawal at the provider; null unless the account is revoked. */
  readonly withdrawal: Withdrawal | null
  /** The result of the last attempt, for callers who waited for it. */
  readonly lastAttempt: AttemptResult | null
  readonly createdAt: number
  readonly updatedAt: number
}

/** Where an account's credential is sealed. The previous one is that of the generation before. */
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

/** The result of a renewal attempt without a new credential. Waiters in other processes answer with it. */
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
  /** The provider's code, or ours where nothing was sent. */
  code: Schema.NullOr(Schema.String),
  /** Until when callers are told of this result instead of asking the provider again, in epoch milliseconds. */
  retryAt: Schema.NullOr(Schema.Int),
  /** Since when every attempt has failed, in epoch milliseconds: the longer, the less often it is tried. */
  since: Schema.optionalKey(Schema.Int),
  /** Whether people were told that the account stopped working. */
  reported: Schema.optionalKey(Schema.Boolean)
})
export type AttemptResult = typeof AttemptResult.Type

/** The state of the withdrawal of a revoked account's credential. */
export const Withdrawal = Schema.Struct({
  /**
   * - `pending`: it may still work at the provider; the withdrawal is tried again.
   * - `confirmed`: it does not work any more, and is erased.
   * - `unsupported`: the provider has no way to withdraw it; it is erased here and works there until it expires.
   */
  state: Schema.Literals(["pending", "confirmed", "unsupported"]),
  attempts: Schema.Int,
  /** What the provider answered last, or what kept us from asking, while it is pending. */
  answer: Schema.NullOr(Schema.String)
})
export type Withdrawal = typeof Withdrawal.Type

/** What can happen to an account's status. */
export type StatusEvent =
  | { readonly _tag: "Renewed" }
  /** It cannot be renewed any more; its access token still works. */
  | { readonly _tag: "GrantDead"; readonly reason: DeathReason }
  /** Nothing of it works. */
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

/** What is announced about a committed transition. `expiring` comes once. `expired` follows, unless the account gets a new credential in time. */
export const OutboxEventType = ConnectionEventType
export type OutboxEventType = ConnectionEventType

/** Where a status event leads, and what to announce. */
export interface Transition {
  readonly status: KnownStatus
  readonly statusReason: StatusReason | null
  readonly announce: ReadonlyArray<OutboxEventType>
}

type StatusState = Pick<Account, "status" | "statusReason">

/**
 * The status machine. Total: an event that does not apply leaves the status as it is and announces nothing, so that a late or repeated
 * event is harmless.
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
      // Even for an account switched off meanwhile the new credential is kept; only its status is not ours to change.
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

/** Whether a credential that cannot be renewed any more is in service, to the end of its access token. */
export const isExpiring = ({ status, statusReason }: StatusState): boolean =>
  status === "ACTIVE" && statusReason !== null

/** Whether the credential is known to be dead, whether or not its access token is still in service. */
export const isKnownDead = (account: StatusState): boolean => account.status === "EXPIRED" || isExpiring(account)

/**
 * The status others see now. Time alone ends two things: an access token that cannot be renewed, and the link of an account that was never
 * connected. Both show as EXPIRED, whether or not anybody has written it down. A pending consent shows as INITIATED.
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

/** Whether the credential is in service: its access token may be handed out while it lasts. */
export const inService = (account: Pick<Account, "status">): boolean => account.status === "ACTIVE"

/** How far the clock of the machine that obtained a credential may be ahead before its times are ignored, in milliseconds. */
const clockSkew = 60_000

/** Whether the access token has expired. NO_AUTH has none that could. */
export const isOver = (
  { credential, expiresAt, scheme }: Pick<Account, "expiresAt" | "credential" | "scheme">,
  now: number
): boolean => (credential === null && scheme !== "NO_AUTH") || (expiresAt !== null && expiresAt <= now)

/**
 * Whether the access token can be used for another `atLeast` milliseconds, or for half of its life if that is less: a token that lives
 * for a minute is not renewed at every use. One that is obtained in the future came when a clock was ahead. When it ends is not known, so
 * it is not usable, and not over either.
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
    (obtainedAt <= now + clockSkew && expiresAt > now + Math.min(atLeast, (expiresAt - obtainedAt) / 2))
  )
}
