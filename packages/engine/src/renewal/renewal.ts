/**
 * How a renewal can end, and how those who wait learn of it: the callers of this process and, through the account's row, those of other
 * processes.
 *
 * @module
 */
import { type Failures, InvalidRequest, type RefreshError, RefreshFailed, Unavailable } from "@rekindle/core"
import { Duration, Effect } from "effect"
import type { AuthConfigError } from "../account/AuthConfig.ts"
import type { StoreError } from "../account/AccountStore.ts"
import { type Account, type AttemptResult, isUsable } from "../account/Account.ts"
import type { Verdict } from "../answer/Verdict.ts"

/** How a flight ended. */
export type Renewal =
  /** A new credential is committed, by this flight or by one whose result it shares. */
  | { readonly _tag: "Renewed"; readonly account: Account }
  /** The credential in service is usable; it was not renewed, and `why` says why. */
  | { readonly _tag: "Served"; readonly account: Account; readonly why: "fresh" | "ambiguous" | "not-renewed" }
  /** There is nothing to renew with, or it is dead: a person has to consent. */
  | { readonly _tag: "ConsentNeeded"; readonly account: Account }
  /** The credential is dead and the scheme has no consent: somebody has to enter a new one. */
  | { readonly _tag: "Rejected"; readonly account: Account }
  /** The scheme has no renewal. */
  | { readonly _tag: "Static"; readonly account: Account }

/** Nothing was sent, and the failure says nothing about the credential. */
export const unavailable = (
  slug: Failures.Slug,
  message: string,
  retryAfter: Duration.Duration = Duration.seconds(1),
  errors?: ReadonlyArray<string>
) => new Unavailable({ message, slug, retryAfter, ...(errors === undefined || errors.length === 0 ? {} : { errors }) })

/** The store did not answer, and nothing was sent. */
export const storeDown = () => unavailable("store_unavailable", "the account store is unavailable; nothing was sent")

/** A request was sent, or may have been. */
export const failed = (slug: Failures.Slug, message: string, errors?: ReadonlyArray<string>) =>
  new RefreshFailed({ message, slug, ...(errors === undefined || errors.length === 0 ? {} : { errors }) })

/** The auth config could not be loaded, and nothing was sent. */
export const configFailure = (error: AuthConfigError | StoreError): InvalidRequest | RefreshFailed | Unavailable =>
  error._tag === "StoreError"
    ? storeDown()
    : error.reason === "disabled"
      ? new InvalidRequest({ message: error.message, slug: "auth_config_disabled", suggestedFix: "enable it first" })
      : failed("auth_config_invalid", error.message)

/** The renewal that an earlier attempt without a new credential stands for: for callers of other processes, and for later ones. */
export const renewalAfter = (
  account: Account,
  result: AttemptResult,
  now: number
): Effect.Effect<Renewal, RefreshError> => {
  const why = servedAfter(result.verdict)
  return why !== undefined && isUsable(account, now)
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
        "the request was refused here and nothing was sent; a setting or the credential needs mending",
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
      return unavailable("provider_busy", "the provider asked to come back later", retryAfter, errors)
    case "Ambiguous":
      return failed(
        "provider_silent",
        "the provider gave no clear answer; whether it renewed is unknown, and the credential is kept",
        errors
      )
    case "AppFault":
      return failed(
        "auth_config_rejected",
        "the provider refused the application; its auth config needs mending",
        errors
      )
    case "Misconfigured":
      return failed("refresh_refused", "the provider refused the request", errors)
    default:
      return failed("not_renewed", "the provider answered without a new token", errors)
  }
}

/** Why the access token in hand is served after an attempt that did not renew it; undefined where it is not. */
const servedAfter = (verdict: Verdict["_tag"]): "ambiguous" | "not-renewed" | undefined =>
  verdict === "Ambiguous" ? "ambiguous" : verdict === "NotRenewed" ? "not-renewed" : undefined
