/**
 * Who needs no help to answer in time.
 *
 * A time limit has to stand by with a fiber and a timer, because what it limits may not listen. What does listen, and answers by
 * `options.deadline` on its own, says so here, and is only told the deadline. In the standard pipeline both limits stand above such a
 * one, which halves what the pipeline costs.
 *
 * @module
 */
import type { Accounts } from "../Policy.ts"

const keepers = new WeakSet<Accounts>()

/**
 * Says of `accounts` that each `refresh` answers by its `options.deadline`, at the latest with `DeadlineExceeded`, whatever happens
 * below. It is said of this very object: what decorates it is another.
 */
export const keepsDeadlines = (accounts: Accounts): Accounts => {
  keepers.add(accounts)
  return accounts
}

/** Whether {@link keepsDeadlines} was said of this very object. */
export const isKeeper = (accounts: Accounts): boolean => keepers.has(accounts)
