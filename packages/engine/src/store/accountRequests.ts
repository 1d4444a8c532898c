/**
 * What is asked about one account, whether by itself or together with other requests.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import type { Account } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"

type Store = AccountStore["Service"]

/** Asks for an account by its own id. */
export interface Find {
  readonly id: ConnectedAccountId
  readonly now: number
}

/** Asks for an account by what its project calls it. */
export interface FindIn {
  readonly projectId: string
  readonly publicId: ConnectedAccountId
  readonly now: number
}

/** Asks for a lease. */
export type Begin = Parameters<Store["begin"]>[0]

/** Asks for a commit. */
export type Write = Omit<Parameters<Store["write"]>[0], "attempt">

/** How many times the token will have been sent with the attempt that begins. */
export const attemptsOf = ({ account }: Begin): number => (account.intent?.attempts ?? 0) + 1

/** Whether a write brings a new credential. */
const renews = ({ from, to }: Write): boolean => to.generation !== from.generation

/** Whether a write ends the lease and the intent. */
export const endsLease = (write: Write): boolean => renews(write) || write.endLease !== undefined

/** The only epoch that may write; null if any may. */
export const epochOf = (write: Write): number | null => (renews(write) ? null : (write.endLease ?? null))

/** The time that a write's announcements carry. */
export const announcedAt = ({ at, to }: Write): number => at ?? to.updatedAt

/** The columns that are about a renewal under way. */
export const underWay = [
  "lease_owner",
  "lease_until",
  "intent_generation",
  "intent_since",
  "intent_attempts",
  "last_attempt"
]

/** What a write leaves of the account. A lease that another process has taken meanwhile does not show. */
export const written = (write: Write): Account => ({
  ...write.to,
  revision: write.from.revision + 1,
  ...(endsLease(write) ? { lease: null, intent: null, lastAttempt: null } : {})
})
