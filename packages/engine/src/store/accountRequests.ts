/**
 * Requests about one account. They are sent alone, or with others in one statement.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import type { Account } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"

type Store = AccountStore["Service"]

/** A read by the id in the store. */
export interface Find {
  readonly id: ConnectedAccountId
  readonly now: number
}

/** A read by the id that the project uses. */
export interface FindIn {
  readonly projectId: string
  readonly publicId: ConnectedAccountId
  readonly now: number
}

/** A request for the lease. */
export type Begin = Parameters<Store["begin"]>[0]

/** A write without a consent attempt. */
export type Write = Omit<Parameters<Store["write"]>[0], "attempt">

/** How many times the token will have been sent after the attempt that begins. */
export const attemptsOf = ({ account }: Begin): number => (account.intent?.attempts ?? 0) + 1

/**
 * The epoch of the lease that begins. A restored snapshot takes the epoch back, and an answer from before may be committed after it. An answer
 * under a new lease has to be the newer one all the same.
 */
export const nextEpoch = ({ account }: Begin): number => Math.max(account.epoch, account.obtainedEpoch ?? 0) + 1

/** Whether a write brings a new credential. */
const renews = ({ from, to }: Write): boolean => to.generation !== from.generation

/** Whether a write ends the lease and the intent. */
export const endsLease = (write: Write): boolean => renews(write) || write.endLease !== undefined

/** The only epoch that may write. Null if any may. */
export const epochOf = (write: Write): number | null => (renews(write) ? null : (write.endLease ?? null))

/** The time that a write's announcements carry. */
export const announcedAt = ({ at, to }: Write): number => at ?? to.updatedAt

/** The columns of a renewal in flight. */
export const underWay = [
  "lease_owner",
  "lease_until",
  "intent_generation",
  "intent_since",
  "intent_attempts",
  "last_attempt"
]

/** The account after a write. It does not show a lease that another process took meanwhile. */
export const written = (write: Write): Account => ({
  ...write.to,
  revision: write.from.revision + 1,
  ...(endsLease(write) ? { lease: null, intent: null, lastAttempt: null } : {})
})
