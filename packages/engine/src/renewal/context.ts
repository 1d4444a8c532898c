/**
 * The context of a renewal: the services and times that all its steps use, and two transitions that several steps make.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccountId,
  type RefreshError,
  type Unavailable,
  type Failures
} from "@rekindle/core"
import { Clock, type Duration, Effect, Option } from "effect"
import { type Account, isExpiring, isUsable } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import { updateAccount } from "../account/updateAccount.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type AuthStrategies, type AuthStrategy, mayRevive } from "../strategies/AuthStrategy.ts"
import { pauses } from "./pauses.ts"
import type { LateAnswers } from "./lateAnswers.ts"
import type { TokenCommit } from "./TokenCommit.ts"
import { failed, isRefused, type Renewal, type Reports, storeDown, unavailable } from "./renewal.ts"
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

/** The circumstances of a dead credential. */
interface Death {
  /** The provider's code, if it gave one. */
  readonly code: string | null
  /** Whether a request whose answer was lost spent the grant. */
  readonly lost: boolean
}

const notFound = (id: ConnectedAccountId) =>
  new AccountNotFound({ message: `no connected account ${id}`, slug: "connected_account_not_found" })

/** The services, times and transitions that all steps of a renewal share. */
export type RenewalContext = ReturnType<typeof makeContext>

/** Makes the context. */
export const makeContext = (given: Given) => {
  const { requestTimeout, store } = given
  const limited = makeTimeLimit()

  /** Limits a call to the store. A store that hangs counts as unavailable, so every flight ends. */
  const bounded = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | Unavailable> =>
    limited(call, requestTimeout, () => Effect.fail(storeDown()))

  const find = (id: ConnectedAccountId) =>
    bounded(store.find(id)).pipe(
      Effect.mapError(storeDown),
      Effect.flatMap(Option.match({ onNone: () => notFound(id), onSome: Effect.succeed }))
    )

  /** Logs one line when an account begins to expire, and one when it has expired. */
  const warn = (before: Account, { authConfigId, id, status, statusReason: reason }: Account, code: string | null) =>
    before.status === status && before.statusReason === reason
      ? Effect.void
      : Effect.logWarning(
          status === "ACTIVE"
            ? "an account will stop working when its access token expires: its credential is dead"
            : "an account stopped working: its credential is dead",
          { accountId: id, authConfigId, reason, code }
        )

  /** Expires an account whose credential is known to be dead, because its access token has expired or was refused. */
  const expire = Effect.fnUntraced(function* (expiring: Account, strategy: AuthStrategy) {
    const { _tag, account } = yield* updateAccount(
      store,
      expiring,
      { _tag: "CredentialDead", reason: "grant_dead" },
      {
        when: (from) => isExpiring(from) && from.generation === expiring.generation,
        patch: (_, __, now) => Effect.succeed({ renewAt: mayRevive(strategy) ? now : null })
      }
    ).pipe(bounded, Effect.mapError(storeDown))
    if (_tag === "Written") yield* warn(expiring, account, null)
  })

  /**
   * Marks the credential dead, unless there is a newer one. While its access token can be used it stays in service, and the account is due
   * when it ends. If the refusal may be a mistake of the provider or of this machine's clock, the credential is tried again.
   */
  const markDead = Effect.fnUntraced(function* (
    leased: Account,
    strategy: AuthStrategy,
    { code, lost }: Death,
    flight: Reports
  ): Effect.fn.Return<Renewal, RefreshError> {
    const hasConsent = strategy.consent !== undefined
    const again = mayRevive(strategy) ? (yield* pauses({ _tag: "Dead", code: "" }, 0)).renewer : Infinity
    // The provider refused this request, but may have carried out an earlier one.
    const undecided = (slug: Failures.Slug, message: string): RefreshError =>
      lost ? failed(slug, message) : unavailable(slug, message)
    const reason = !hasConsent ? "credential_rejected" : lost ? "rotation_response_lost" : "grant_dead"
    const living = !isRefused(leased, flight) && isUsable(leased, yield* Clock.currentTimeMillis)
    const { _tag, account } = yield* updateAccount(
      store,
      leased,
      { _tag: living ? "GrantDead" : "CredentialDead", reason },
      {
        when: ({ epoch, generation }) => epoch === leased.epoch && generation === leased.generation,
        patch: ({ expiresAt }, { status }, now) => {
          // The account was disabled or revoked meanwhile, so its due time is not changed.
          if (status !== "ACTIVE" && status !== "EXPIRED") return Effect.succeed({})
          const end = status === "ACTIVE" ? (expiresAt ?? Infinity) : Infinity
          const next = Math.min(end, now + again)
          return Effect.succeed({ renewAt: Number.isFinite(next) ? next : null })
        },
        endLease: leased.epoch
      }
    ).pipe(
      bounded,
      Effect.mapError(() =>
        undecided("store_unavailable", "the provider refused the credential, and the account store is unavailable")
      )
    )
    if (_tag === "Gone") return yield* notFound(leased.id)
    if (_tag === "Left") {
      // Another process has a newer lease. It decides whether the credential is dead.
      return account.generation === leased.generation
        ? yield* Effect.fail(undecided("busy", "another process is renewing this account"))
        : { _tag: "Renewed", account }
    }
    yield* warn(leased, account, code)
    return { _tag: hasConsent ? "ConsentNeeded" : "Rejected", account }
  })

  return { ...given, bounded, expire, find, limited, markDead }
}
