/**
 * What the steps of a renewal have in common: the services they work with, the times they keep to, and the two things they do to an
 * account whatever the step.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccountId,
  type RefreshError,
  type Slug,
  type Unavailable
} from "@rekindle/core"
import { Clock, type Duration, Effect, Option } from "effect"
import { type Account, transition } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type AuthStrategies, type AuthStrategy, mayRevive } from "../strategies/AuthStrategy.ts"
import { pauses } from "./pauses.ts"
import type { LateAnswers } from "./lateAnswers.ts"
import type { TokenCommit } from "./TokenCommit.ts"
import { failed, type Renewal, storeDown, unavailable } from "./renewal.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"

interface Given {
  readonly store: AccountStore["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly tokens: TokenCommit["Service"]
  /** The name of this process in leases. */
  readonly owner: string
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  readonly requestTimeout: Duration.Duration
  readonly lateAnswers: LateAnswers
}

/** What every step is given. */
export type Parts = ReturnType<typeof makeParts>

/** Puts the parts together. */
export const makeParts = (given: Given) => {
  const { requestTimeout, store } = given
  const limited = makeTimeLimit()

  /** A store that hangs is a store that is down: every flight has an end. */
  const bounded = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | Unavailable> =>
    limited(call, requestTimeout, () => Effect.fail(storeDown()))

  const find = (id: ConnectedAccountId) =>
    bounded(store.find(id)).pipe(
      Effect.mapError(storeDown),
      Effect.flatMap(
        Option.match({
          onNone: () =>
            new AccountNotFound({ message: `no connected account ${id}`, slug: "connected_account_not_found" }),
          onSome: Effect.succeed
        })
      )
    )

  /** Marks the credential dead, unless a newer one is there. Where it may be the provider's mistake or our clock's, it is tried again. */
  const bury = Effect.fnUntraced(function* (
    leased: Account,
    strategy: AuthStrategy,
    { code, lost }: { readonly lost: boolean; readonly code: string | null }
  ): Effect.fn.Return<Renewal, RefreshError> {
    const hasConsent = strategy.consent !== undefined
    const again = mayRevive(strategy) ? (yield* pauses({ _tag: "Dead", code: "" }, 0)).renewer : null
    // The provider refused this request, and perhaps carried out one before it.
    const undecided = (slug: Slug, message: string): RefreshError =>
      lost ? failed(slug, message) : unavailable(slug, message)
    const storeGone = () =>
      undecided("store_unavailable", "the provider refused the credential, and the account store is unavailable")
    let from = leased
    while (true) {
      const next = transition(from, {
        _tag: "CredentialDead",
        reason: !hasConsent ? "credential_rejected" : lost ? "rotation_response_lost" : "grant_dead"
      })
      const now = yield* Clock.currentTimeMillis
      const to: Account = {
        ...from,
        status: next.status,
        statusReason: next.statusReason,
        renewAt: again === null ? null : now + again,
        updatedAt: now
      }
      const written = yield* bounded(store.write({ from, to, announce: next.announce, endLease: leased.epoch })).pipe(
        Effect.mapError(storeGone)
      )
      if (written) {
        if (next.announce.length > 0) {
          yield* Effect.logWarning("an account stopped working: its credential is dead", {
            accountId: from.id,
            authConfigId: from.authConfigId,
            reason: next.statusReason,
            code
          })
        }
        const account = { ...to, revision: from.revision + 1, lease: null, intent: null }
        return { _tag: hasConsent ? "ConsentNeeded" : "Rejected", account }
      }
      const current = yield* Effect.mapError(find(leased.id), (error) =>
        error._tag === "Unavailable" ? storeGone() : error
      )
      if (current.generation !== leased.generation) return { _tag: "Renewed", account: current }
      // Somebody newer holds the lease: it is theirs to say, and theirs to find the token alive.
      if (current.epoch !== leased.epoch) {
        return yield* Effect.fail(undecided("busy", "another process is renewing this account"))
      }
      from = current
    }
  })

  return { ...given, bounded, bury, find, limited }
}
