/**
 * The ways in which a renewal can end, and the errors of callers. Callers of other processes get the result from the account's row.
 *
 * @module
 */
import {
  DeadlineExceeded,
  type Failures,
  InvalidRequest,
  type RefreshError,
  RefreshFailed,
  Unavailable
} from "@rekindle/core"
import { Clock, type DateTime, Duration, Effect } from "effect"
import type { AuthConfigError } from "../account/AuthConfig.ts"
import type { StoreError } from "../account/AccountStore.ts"
import { type Account, type AttemptResult, isUsable } from "../account/Account.ts"
import type { Verdict } from "../answer/Verdict.ts"

/** The result of a flight. */
export type Renewal =
  /** A new credential is committed, by this flight or by one whose result it shares. */
  | { readonly _tag: "Renewed"; readonly account: Account }
  /** The access token is usable and was not renewed. `why` is the reason. */
  | { readonly _tag: "Served"; readonly account: Account; readonly why: "fresh" | "ambiguous" | "not-renewed" }
  /** There is no refresh token, or it is dead. A person has to consent. */
  | { readonly _tag: "ConsentNeeded"; readonly account: Account }
  /** The credential is dead and the scheme has no consent. A new credential has to be entered. */
  | { readonly _tag: "Rejected"; readonly account: Account }
  /** The scheme has no renewal. */
  | { readonly _tag: "Static"; readonly account: Account }

/** The error if nothing was sent and the failure says nothing about the credential. */
export const unavailable = (
  slug: Failures.Slug,
  message: string,
  retryAfter: Duration.Duration = Duration.seconds(1),
  errors?: ReadonlyArray<string>
) => new Unavailable({ message, slug, retryAfter, ...(errors === undefined || errors.length === 0 ? {} : { errors }) })

/** The error if the store did not answer and nothing was sent. */
export const storeDown = () => unavailable("store_unavailable", "the account store is unavailable; nothing was sent")

/** The error if a request was sent, or may have been. */
export const failed = (slug: Failures.Slug, message: string, errors?: ReadonlyArray<string>) =>
  new RefreshFailed({ message, slug, ...(errors === undefined || errors.length === 0 ? {} : { errors }) })

/** How long a caller still waits until its deadline. */
export const timeUntil = (deadline: DateTime.Utc): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.currentTimeMillis, (now) => Duration.millis(Math.max(0, deadline.epochMilliseconds - now)))

/** The error if a caller's deadline has passed. */
export const pastDeadline = (timeout: Duration.Duration, sent: boolean) =>
  new DeadlineExceeded({
    message: sent ? "the deadline has passed; read the account first" : "the deadline has passed; nothing was sent",
    timeout,
    sent
  })

/** The error if the auth config could not be loaded and nothing was sent. */
export const configFailure = (error: AuthConfigError | StoreError): InvalidRequest | RefreshFailed | Unavailable =>
  error._tag === "StoreError"
    ? storeDown()
    : error.reason === "disabled"
      ? new InvalidRequest({ message: error.message, slug: "auth_config_disabled", suggestedFix: "enable it first" })
      : failed("auth_config_invalid", error.message)

/** What the callers of a flight report about its credential. */
export interface Reports {
  /** The newest generation whose access token a third party refused, with all before it. 0 if there is none. */
  readonly refused: number
}

/** Whether a third party refused the access token that the account has now. An account that was never connected has none. */
export const isRefused = ({ generation }: Pick<Account, "generation">, { refused }: Reports): boolean =>
  generation > 0 && generation <= refused

/**
 * The result of an attempt that brought no new credential, for its own callers, those of other processes, and later ones. An access token that
 * a third party refused is not served.
 */
export const renewalAfter = (
  account: Account,
  result: AttemptResult,
  now: number,
  flight: Reports
): Effect.Effect<Renewal, RefreshError> => {
  const why = servedAfter(result.verdict)
  return why !== undefined && !isRefused(account, flight) && isUsable(account, now)
    ? Effect.succeed({ _tag: "Served", account, why })
    : result.verdict === "Dead"
      ? Effect.succeed({ _tag: "Rejected", account })
      : Effect.fail(failureOf(result, now))
}

const failureOf = (result: AttemptResult, now: number): RefreshError => {
  const retryAfter = Duration.millis(Math.max(1000, (result.retryAt ?? 0) - now))
  const errors = result.code === null ? [] : [result.code]
  switch (result.verdict) {
    case "Refused":
      return failed(
        "refresh_impossible",
        "the engine refused the request and nothing was sent; a setting or the credential has to be corrected",
        errors
      )
    case "NotApplied":
      return unavailable(
        "provider_unreachable",
        "the provider could not be reached; nothing was sent",
        retryAfter,
        errors
      )
    case "Transient":
      return unavailable("provider_busy", "the provider asked for a later attempt", retryAfter, errors)
    case "Ambiguous":
      return failed(
        "provider_silent",
        "the provider gave no clear answer; whether it renewed the credential is unknown, and the credential is kept",
        errors
      )
    case "AppFault":
      return failed(
        "auth_config_rejected",
        "the provider refused the application; its auth config has to be corrected",
        errors
      )
    case "Misconfigured":
      return failed("refresh_refused", "the provider refused the request", errors)
    default:
      return failed("not_renewed", "the provider answered without a new token", errors)
  }
}

/** Why the held access token is served after an attempt that did not renew it. Undefined if it is not served. */
const servedAfter = (verdict: Verdict["_tag"]): "ambiguous" | "not-renewed" | undefined =>
  verdict === "Ambiguous" ? "ambiguous" : verdict === "NotRenewed" ? "not-renewed" : undefined
