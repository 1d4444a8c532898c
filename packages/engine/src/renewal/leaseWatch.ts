/**
 * Measures how long a lease has been observed to stand, on this process's monotonic clock, which no correction moves.
 *
 * **Gotchas**
 *
 * A lease that was not checked for an hour is forgotten. The next check starts the watch again.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import { Duration, Effect } from "effect"
import type { Account } from "../account/Account.ts"
import { monotonicMillis } from "../egress/timeLimit.ts"

/** A lease, and when it was first observed, in monotonic milliseconds. */
interface Sighting {
  readonly epoch: number
  readonly since: number
  readonly lookedAt: number
}

const forgottenAfter = Duration.toMillis("1 hour")

/** Makes a watch. */
export const makeLeaseWatch = () => {
  /** Ordered by the last check, the oldest first. */
  const sightings = new Map<ConnectedAccountId, Sighting>()

  /** Checks an account's lease, and returns for how many milliseconds it has been observed to stand. 0 without a lease. */
  const standsFor = Effect.fnUntraced(function* ({ epoch, id, lease }: Pick<Account, "epoch" | "id" | "lease">) {
    const now = yield* monotonicMillis
    const seen = sightings.get(id)
    sightings.delete(id)
    if (lease === null) return 0
    const since = seen?.epoch === epoch ? seen.since : now
    sightings.set(id, { epoch, since, lookedAt: now })
    for (const [oldest, { lookedAt }] of sightings) {
      if (now - lookedAt < forgottenAfter) break
      sightings.delete(oldest)
    }
    return now - since
  })

  return { standsFor, size: () => sightings.size }
}
