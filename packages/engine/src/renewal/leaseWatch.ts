/**
 * Measures how long a lease has been observed, on this process's monotonic clock, which no correction moves.
 *
 * **Gotchas**
 *
 * A lease that was not checked for an hour is forgotten. The next check starts the observation again.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock } from "@rekindle/core"
import { Duration, Effect } from "effect"
import type { Account } from "../account/Account.ts"

/** A lease, and when it was first observed, in monotonic milliseconds. */
interface Observed {
  readonly epoch: number
  readonly since: number
  readonly checkedAt: number
}

const forgottenAfter = Duration.toMillis("1 hour")

/** Makes a watch. */
export const makeLeaseWatch = () => {
  /** Ordered by the last check, oldest first. */
  const observed = new Map<ConnectedAccountId, Observed>()

  /** Checks the lease of an account. Returns for how many milliseconds it has been observed. 0 without a lease. */
  const standsFor = Effect.fnUntraced(function* ({ epoch, id, lease }: Pick<Account, "epoch" | "id" | "lease">) {
    const now = yield* MonotonicClock.millis
    const seen = observed.get(id)
    observed.delete(id)
    if (lease === null) return 0
    const since = seen?.epoch === epoch ? seen.since : now
    observed.set(id, { epoch, since, checkedAt: now })
    for (const [oldest, { checkedAt }] of observed) {
      if (now - checkedAt < forgottenAfter) break
      observed.delete(oldest)
    }
    return now - since
  })

  return { standsFor, size: () => observed.size }
}
