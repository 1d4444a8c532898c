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
  /** Those that were judged and have not been seen to work since. */
  const waiting = new Set<string>()
  const wronged: Array<string> = []
  const expired: Record<string, number> = {}
  let lost = 0
  let longestUnread = 0

  const judge = (id: string, reason: string): void => {
    if (waiting.has(id)) return
    waiting.add(id)
    expired[reason] = (expired[reason] ?? 0) + 1
    const grantId = grants.get(id) ?? -1
    const answer = provider.lostTo(grantId, kills)
    if (answer === undefined) {
      const latest = kills.slice(-10).map(({ at }) => Math.round(at))
      wronged.push(`${id} ${reason}: ${provider.lastRenewal(grantId)}, the latest kills at ${latest.join()}`)
      return
    }
    lost++
    if (Number.isFinite(answer.unread)) longestUnread = Math.max(longestUnread, answer.unread)
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
    tend: Effect.gen(function* () {
      const found = yield* sql`SELECT id, status_reason FROM rekindle_accounts WHERE status = 'EXPIRED'`
      const reasons = new Map(found.map((row) => [String(row["id"]), String(row["status_reason"])]))
      for (const id of waiting) if (!reasons.has(id)) waiting.delete(id)
      for (const [id, reason] of reasons) judge(id, reason)
      // What fails now is done the next time.
      yield* Effect.forEach(reasons.keys(), (id) => Effect.ignore(consentAgain(ConnectedAccountId.make(id))), {
        concurrency: 4
      })
      return reasons.size
    }).pipe(Effect.orElseSucceed(() => undefined)),
    findings: (): Findings => ({ expired, lost, wronged, longestUnread })
  }
})
