/**
 * Decides whether a refresh token may be sent. The account is read until the renewal has ended, or the token may be sent.
 *
 * This step finds everything that makes sending unnecessary, impossible or dangerous: an answer in the journal, another holder of the
 * lease, a credential that is dead or fresh, a token that may have been spent.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  InvalidRequest,
  MonotonicClock,
  type RefreshError,
  RefreshUnsupported
} from "@rekindle/core"
import { Clock, Duration, Effect, Option } from "effect"
import { type Account, inService, isExpiring, isKnownDead, isOfFuture, isOver, isUsable } from "../account/Account.ts"
import type { AuthStrategy, Connection } from "../strategies/AuthStrategy.ts"
import { makeLeaseWatch } from "./leaseWatch.ts"
import type { RenewalContext } from "./context.ts"
import { retryAfterCap } from "../answer/Verdict.ts"
import {
  configFailure,
  failed,
  isRefused,
  type Renewal,
  renewalAfter,
  type Reports,
  storeDown,
  unavailable
} from "./renewal.ts"

/** The account may be renewed, and everything that sending needs. */
export interface Sendable {
  readonly _tag: "Sendable"
  readonly account: Account
  readonly strategy: AuthStrategy
  readonly renewal: NonNullable<AuthStrategy["renewal"]>
  readonly connection: Connection
  /** Whether the lease was observed for a full lease. Its holder no longer sends, so it may be taken. */
  readonly waitedOut: boolean
}

/** How often a waiting flight reads the account: the first interval, and the longest. */
const firstPoll = Duration.millis(25)
const slowestPoll = Duration.millis(500)
/**
 * The maximum difference between two readings of the clock that are out of order, in milliseconds, without the clock having been changed.
 */
const clockSlack = 5_000

/** Whether a token that may have been spent can be sent again, because it is not consumed or the provider's reuse window is still open. */
export const mayResend = (
  { account, connection, renewal }: Sendable,
  now: number,
  requestTimeout: Duration.Duration
): boolean => {
  const { reuseWindow, rotation } = connection.config.profile
  return (
    (renewal.rotation ?? rotation) !== "single-use" ||
    (reuseWindow !== undefined &&
      account.intent !== null &&
      // A window that starts in the future was opened before a clock was set back. Its age is unknown.
      now >= account.intent.since - clockSlack &&
      now + Duration.toMillis(requestTimeout) < account.intent.since + Duration.toMillis(reuseWindow))
  )
}

/**
 * The last result, if it is too recent to ask the provider again. One that was stored while a clock was ahead is ignored. An older version
 * stored no time with it, and there the retry time shows that, if it is further ahead than the cap.
 */
const remembered = (account: Account, now: number, flight: Reports) => {
  const { lastAttempt } = account
  if (lastAttempt === null || isOfFuture(lastAttempt.at ?? 0, now)) return Option.none()
  const { retryAt } = lastAttempt
  return retryAt !== null && retryAt > now && retryAt <= now + Duration.toMillis(retryAfterCap)
    ? Option.some(renewalAfter(account, lastAttempt, now, flight))
    : Option.none()
}

/** Another process has the lease, or may still have it. */
export const busy = () => unavailable("busy", "another process is renewing this account")

/** Makes the decision. `until`, in monotonic milliseconds, is when to stop waiting for another holder. */
export const makePrepare = ({
  bounded,
  configs,
  expire,
  find,
  lease,
  markDead,
  requestTimeout,
  strategies,
  tokens
}: RenewalContext) => {
  const { standsFor } = makeLeaseWatch()

  /**
   * Waits while another process holds the lease, and returns its result. None if the lease is over, or was observed for a full lease; read
   * the account again. With `strictly`, only the observation counts, whatever the wall clock says.
   */
  const awaitHolder = Effect.fnUntraced(function* (
    held: Account,
    until: number,
    flight: Reports,
    strictly: boolean
  ): Effect.fn.Return<Option.Option<Renewal>, RefreshError> {
    let interval = firstPoll
    while (true) {
      yield* Effect.sleep(interval)
      interval = Duration.min(Duration.times(interval, 2), slowestPoll)
      const account = yield* find(held.id)
      const stood = yield* standsFor(account)
      const now = yield* Clock.currentTimeMillis
      if (account.generation !== held.generation && account.status === "ACTIVE") {
        return Option.some({ _tag: "Renewed", account })
      }
      const over = stood >= lease || account.lease === null || (account.lease.until <= now && !strictly)
      // A holder that waits for a late answer stores its result and keeps the lease.
      if (account.lastAttempt?.epoch === held.epoch && (account.lease === null || !over)) {
        return Option.some(yield* renewalAfter(account, account.lastAttempt, now, flight))
      }
      if (over || account.epoch !== held.epoch) return Option.none()
      if ((yield* MonotonicClock.millis) >= until) return yield* busy()
    }
  })

  /**
   * Reads the account until the renewal has ended or the token may be sent.
   *
   * - `flight.insists`: the credential is tried whatever the last result was.
   * - `flight.refused`: the newest generation whose access token a third party refused.
   * - `flight.waits`: it waits for another holder of the lease.
   */
  return Effect.fnUntraced(function* (
    id: ConnectedAccountId,
    until: number,
    {
      flight,
      seen
    }: {
      readonly flight: Reports & { readonly insists: boolean; readonly waits: boolean }
      readonly seen: Account | undefined
    }
  ): Effect.fn.Return<Renewal | Sendable, RefreshError> {
    let known = seen
    while (true) {
      // An answer in the journal is newer than the stored credential, and than a verdict that came after it.
      const { committed, waiting } = yield* bounded(tokens.settle(id))
      // Until that answer is committed, the stored token is a spent one.
      if (waiting > 0) return yield* storeDown()
      const account: Account = committed > 0 || known === undefined ? yield* find(id) : known
      known = undefined
      const waitedOut = (yield* standsFor(account)) >= lease
      const now = yield* Clock.currentTimeMillis
      if (committed > 0 && !isRefused(account, flight) && isUsable(account, now)) return { _tag: "Renewed", account }
      if (account.status === "INACTIVE" || account.status === "REVOKED") {
        return yield* new InvalidRequest({
          message: `the account is ${account.status} and cannot be refreshed`,
          slug: "account_not_refreshable",
          suggestedFix: account.status === "INACTIVE" ? "enable the account first" : "connect the account again"
        })
      }
      const strategy = strategies.get(account.scheme)
      if (strategy === undefined) {
        return yield* new RefreshUnsupported({
          message: `nothing to refresh for the scheme ${account.scheme}`,
          slug: "scheme_unsupported"
        })
      }
      const { renewal } = strategy
      if (renewal === undefined) return { _tag: "Static", account }
      if (isExpiring(account) && (isRefused(account, flight) || !isUsable(account, now))) {
        yield* expire(account, strategy)
        continue
      }
      // A credential that is confirmed dead is not sent again if a person can bring a new one.
      if (strategy.consent !== undefined && (account.status !== "ACTIVE" || isExpiring(account)))
        return { _tag: "ConsentNeeded", account }

      if (account.lease !== null && account.lease.until > now && !waitedOut) {
        if (!flight.waits) return yield* busy()
        const outcome = yield* awaitHolder(account, until, flight, false)
        if (Option.isSome(outcome)) return outcome.value
        continue
      }
      if (!flight.insists) {
        if (isKnownDead(account) && renewal.password === true) return { _tag: "Rejected", account }
        const result = remembered(account, now, flight)
        if (Option.isSome(result)) return yield* result.value
      }
      const config = yield* bounded(Effect.mapError(configs.inService(account), configFailure))
      const credential = yield* tokens
        .open(account)
        .pipe(
          Effect.mapError(() =>
            failed("credential_unreadable", "the stored credential cannot be opened with the keys of the ring")
          )
        )
      const connection: Connection = { accountId: id, config, credential }
      const spent = renewal.spends(connection)
      if (spent === undefined) {
        // There is no refresh token, and the access token has expired. That confirms that the credential is dead.
        if (account.status === "ACTIVE" && isOver(account, now))
          return yield* markDead(account, strategy, { lost: false, code: null }, flight)
        return { _tag: strategy.consent === undefined ? "Rejected" : "ConsentNeeded", account }
      }
      const age = now - account.obtainedAt
      // A negative age means that a clock was set back, so it is ignored.
      if (isUsable(account, now) && age >= 0 && age < Duration.toMillis(config.profile.minimumAge)) {
        return { _tag: "Served", account, why: "fresh" }
      }
      const sendable: Sendable = {
        _tag: "Sendable",
        account,
        strategy,
        renewal,
        connection,
        waitedOut
      }
      if (account.intent !== null && !mayResend(sendable, now, requestTimeout)) {
        // The token may be spent. While the access token lasts, sending it can only do harm.
        if (inService(account) && !isRefused(account, flight) && !isOver(account, now))
          return { _tag: "Served", account, why: "ambiguous" }
        // The lease may still be held and the token be in flight, because a clock was set or the holder is slow.
        if (account.lease !== null && !waitedOut) {
          if (!flight.waits) return yield* busy()
          const outcome = yield* awaitHolder(account, until, flight, true)
          if (Option.isSome(outcome)) return outcome.value
          continue
        }
      }
      return sendable
    }
  })
}
