/**
 * For how long leases have been seen to stand, by this process's monotonic clock, which nobody sets.
 *
 * **Gotchas**
 *
 * A lease that nobody looked at for an hour is forgotten, and watched from the beginning when somebody looks again.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import { Duration, Effect } from "effect"
import type { Account } from "../account/Account.ts"
import { monotonicMillis } from "../egress/timeLimit.ts"

/** A lease, and since when it is seen to stand, in monotonic milliseconds. */
interface Sighting {
  readonly epoch: number
  readonly since: number
  readonly lookedAt: number
}

const forgottenAfter = Duration.toMillis("1 hour")

/** Makes a watch. */
export const makeLeaseWatch = () => {
  /** The one that was looked at longest ago comes first. */
  const sightings = new Map<ConnectedAccountId, Sighting>()

  /** Looks at an account's lease, and tells for how many milliseconds it has been seen to stand. 0 where there is none. */
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
