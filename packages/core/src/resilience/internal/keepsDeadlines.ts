/**
 * Providers that meet `options.deadline` by themselves.
 *
 * A time limit normally needs a fiber and a timer, because the provider below may be uninterruptible. A provider that is registered here
 * only gets the deadline. In the standard pipeline both limits are above such a provider, which halves the cost of the pipeline.
 *
 * @module
 */
import type { Accounts } from "../Policy.ts"

const declared = new WeakSet<Accounts>()

/**
 * Declares that each `refresh` of `accounts` ends by its `options.deadline`, at the latest with `DeadlineExceeded`. It holds for exactly
 * this object, and not for one that decorates it.
 */
export const keepsDeadlines = (accounts: Accounts): Accounts => {
  declared.add(accounts)
  return accounts
}

/** Whether {@link keepsDeadlines} was called with exactly this object. */
export const declaresDeadlines = (accounts: Accounts): boolean => declared.has(accounts)
