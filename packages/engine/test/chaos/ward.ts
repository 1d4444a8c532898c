/**
 * Takes care of accounts that expire in a long run: judges why, and lets a person consent again, so that the number of accounts that are renewed
 * stays the same.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import { Consent } from "@rekindle/engine"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import type { Kill, StrictProvider } from "../support/StrictProvider.ts"

/** What was found. */
export interface Findings {
  /** The accounts that expired, by reason. */
  readonly expired: Readonly<Record<string, number>>
  /** How many of them lost an answer to a kill. */
  readonly lost: number
  /** The others, for people to read. */
  readonly wronged: ReadonlyArray<string>
  /** The longest time that the answer of one had been written when its process could read no more, in milliseconds. */
  readonly longestUnread: number
}

/** Makes it. `grants` are the present grants of the accounts, and `kills` those so far. */
export const make = Effect.fnUntraced(function* (
  provider: StrictProvider,
  grants: Map<string, number>,
  kills: ReadonlyArray<Kill>
) {
  const { refresh } = yield* ConnectedAccounts
  const { complete } = yield* Consent
  const sql = yield* SqlClient.SqlClient
  const judged = new Set<number>()
  const wronged: Array<string> = []
  const expired: Record<string, number> = {}
  let longestUnread = 0

  const judge = (id: string, grantId: number, reason: string): void => {
    if (judged.has(grantId)) return
    judged.add(grantId)
    expired[reason] = (expired[reason] ?? 0) + 1
    const lost = provider.lostTo(grantId, kills)
    if (lost === undefined) {
      const latest = kills.slice(-10).map(({ at }) => Math.round(at))
      wronged.push(`${id} ${reason}: ${provider.lastRenewal(grantId)}, the latest kills at ${latest.join()}`)
    } else if (Number.isFinite(lost.unread)) longestUnread = Math.max(longestUnread, lost.unread)
  }
  const consentAgain = Effect.fnUntraced(function* (id: ConnectedAccountId) {
    const outcome = yield* refresh(id)
    if (outcome._tag !== "RedirectRequired") return
    const { callback, grantId } = provider.consent(outcome.redirectUrl)
    grants.set(id, grantId)
    yield* complete(callback.searchParams)
  })

  return {
    /** Looks after all expired accounts. Returns how many there were, or nothing if the database is away. */
    tend: sql`SELECT id, status_reason FROM rekindle_accounts WHERE status = 'EXPIRED'`.pipe(
      Effect.flatMap(
        Effect.forEach(
          (row) => {
            const id = ConnectedAccountId.make(String(row["id"]))
            judge(id, grants.get(id) ?? -1, String(row["status_reason"]))
            // What fails now is done the next time.
            return Effect.ignore(consentAgain(id))
          },
          { concurrency: 4 }
        )
      ),
      Effect.map((found) => found.length),
      Effect.orElseSucceed(() => undefined)
    ),
    findings: (): Findings => ({ expired, lost: judged.size - wronged.length, wronged, longestUnread })
  }
})
