/**
 * The decision table: what an answer of a token endpoint means for the credential it was asked about.
 *
 * One pure, total function from what was observed to a verdict. It is the place where an outage is told from a revocation, so it errs
 * on one side only: a credential is called dead when the provider said so in a form known for it, and never because something broke.
 *
 * @module
 */
import { Duration, Predicate, Redacted } from "effect"
import type { AnswerMatcher, ProviderProfile } from "../account/ProviderProfile.ts"
import { at, type IssuedTokens, issuedTokens, parseBody } from "./TokenResponse.ts"

/** What was seen of one token request. */
export type Observation =
  /**
   * Our own rules refuse it, or it cannot be made: nothing was sent, and nothing will be until a setting or the credential is changed.
   * `reason` is a code and what to change, for people.
   */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** It provably never left: DNS, connect, TLS. `reason` is the step and the error's code, such as `dns_failed ENOTFOUND`. */
  | { readonly _tag: "NotSent"; readonly reason: string }
  /** It left, and no complete answer came back. `reason` is what happened, such as `connection_lost ECONNRESET`. */
  | { readonly _tag: "NoAnswer"; readonly reason: string }
  /** An answer arrived. `receivedAt` is in epoch milliseconds. */
  | {
      readonly _tag: "Answer"
      readonly status: number
      readonly contentType: string | undefined
      readonly retryAfter: string | undefined
      readonly body: string
      readonly receivedAt: number
      /** All headers, where a strategy needs more of them (a DPoP nonce); never stored. */
      readonly headers?: Readonly<Record<string, string>>
    }

export const refused = (reason: string): Observation => ({ _tag: "Refused", reason })
export const notSent = (reason: string): Observation => ({ _tag: "NotSent", reason })
export const noAnswer = (reason: string): Observation => ({ _tag: "NoAnswer", reason })

/** What the observation means. */
export type Verdict =
  /** New tokens were issued; keep them before anything else. */
  | { readonly _tag: "Renewed"; readonly tokens: IssuedTokens }
  /** The provider answered with the token we already had. */
  | { readonly _tag: "NotRenewed"; readonly tokens: IssuedTokens }
  /** It was refused here, and will be until a setting or the credential is changed. Nothing was sent. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** Nothing happened on the other side; the same request may be sent again. */
  | { readonly _tag: "NotApplied"; readonly reason: string }
  /** The grant may or may not have been spent. */
  | { readonly _tag: "Ambiguous"; readonly reason: string }
  /** The provider asked us to come back later. */
  | { readonly _tag: "Transient"; readonly retryAfter: Duration.Duration | undefined; readonly code: string }
  /** The provider confirmed that this credential will never work again. */
  | { readonly _tag: "Dead"; readonly code: string }
  /** The provider refused the application, not the user: says nothing about the account. */
  | { readonly _tag: "AppFault"; readonly code: string }
  /** The provider refused the request for another reason: a matter of configuration. */
  | { readonly _tag: "Misconfigured"; readonly code: string }

/** The longest `Retry-After` that is believed. */
export const retryAfterCap = Duration.minutes(15)

// Codes are compared in lower case.

/** Codes that blame the application: RFC 6749 §5.2, then GitHub's, Slack's and HubSpot's own. */
const appFaults = new Set([
  "invalid_client",
  "unauthorized_client",
  "incorrect_client_credentials",
  "invalid_client_id",
  "bad_client_id",
  "bad_client_secret"
])

/** Codes that ask for patience (RFC 6749 §4.1.2.1, RFC 8628 §3.5, Slack's own). */
const transientCodes = new Set([
  "temporarily_unavailable",
  "slow_down",
  "service_unavailable",
  "ratelimited",
  "rate_limited",
  "rate_limit_exceeded"
])

/** Codes that mean a 500, whatever the status: part of the work may have been done. Slack's documentation says so in these words. */
const breakdownCodes = new Set(["server_error", "internal_error", "internal_server_error", "fatal_error"])

/** The secrets of a credential, by name. */
export type HeldSecrets = Readonly<Record<string, Redacted.Redacted<string>>>

const isNew = (issued: Redacted.Redacted<string>, held: Redacted.Redacted<string> | undefined): boolean =>
  held === undefined || Redacted.value(issued) !== Redacted.value(held)

/**
 * Decides what an observation means.
 *
 * @param held the secrets the account has now: the same tokens in the answer mean that nothing was renewed.
 */
export const decide = (observation: Observation, profile: ProviderProfile, held: HeldSecrets = {}): Verdict => {
  switch (observation._tag) {
    case "Refused":
      return observation
    case "NotSent":
      return { _tag: "NotApplied", reason: observation.reason }
    case "NoAnswer":
      return { _tag: "Ambiguous", reason: observation.reason }
    case "Answer":
      return decideAnswer(observation, profile, held)
  }
}

const decideAnswer = (
  answer: Extract<Observation, { readonly _tag: "Answer" }>,
  profile: ProviderProfile,
  held: HeldSecrets
): Verdict => {
  const { status } = answer
  const body = parseBody(answer.body, answer.contentType)
  const succeeded = status >= 200 && status < 300
  const stated = errorCode(body, succeeded)
  const redirected = status >= 300 && status < 400
  const code = stated?.replace(/[^\w.:-]+/g, "_") ?? `${redirected ? "redirected" : "http"}_${status}`

  // Tokens first: an answer that carries usable ones has rotated the grant, whatever else is wrong with it.
  if (body !== undefined && succeeded) {
    const tokens = issuedTokens(body, profile, answer.receivedAt)
    if (tokens !== undefined) {
      const moved =
        isNew(tokens.accessToken, held["access_token"]) ||
        (tokens.refreshToken !== undefined && isNew(tokens.refreshToken, held["refresh_token"]))
      return moved ? { _tag: "Renewed", tokens } : { _tag: "NotRenewed", tokens }
    }
  }

  const later: Verdict = { _tag: "Transient", retryAfter: retryAfter(answer.retryAfter, answer.receivedAt), code }
  // A matcher that names a 5xx is believed; one that names no status is not applied to an outage.
  const outage = status >= 500 || status === 429 || status === 408
  const isOneOf = (matchers: ReadonlyArray<AnswerMatcher>): boolean =>
    matchers.some((matcher) => (!outage || matcher.status !== undefined) && matches(matcher, status, body))
  if (isOneOf(profile.transient)) return later
  if (isOneOf(profile.deadToken)) return { _tag: "Dead", code }
  if (status === 429 || status === 503) return later
  if (status >= 500 || status === 408 || status === 409) return { _tag: "Ambiguous", reason: code }

  // "Send this elsewhere" (RFC 9110 §15.4): nothing was done here. The other redirects may follow what was done.
  const moved = status === 301 || status === 307 || status === 308
  const refused = moved || status >= 400 || (succeeded && stated !== undefined)
  if (!refused) {
    // A 2xx without tokens and without an error, or a redirect: a truncated or foreign answer. The grant may be spent.
    return { _tag: "Ambiguous", reason: succeeded ? "answer without tokens" : code }
  }
  const known = stated?.toLowerCase() ?? ""
  if (appFaults.has(known)) return { _tag: "AppFault", code }
  if (transientCodes.has(known)) return later
  if (breakdownCodes.has(known)) return { _tag: "Ambiguous", reason: code }
  if (known === "invalid_grant") return { _tag: "Dead", code }
  return { _tag: "Misconfigured", code }
}

/** Where providers put the code of a failure; `error` by the RFC. */
const codePaths = ["error", "error.code", "error.type", "error.status", "errorCode", "error_code"]

/** Where a code may stand only in an answer that is a failure by its status: elsewhere these fields say other things. */
const codePathsOfFailure = [...codePaths, "code", "status"]

/**
 * What a code looks like and a token does not: a few words such as `invalid_grant`, `BAD_REFRESH_TOKEN` or `OAuthException`, perhaps with
 * a number at the end. Digits among letters, long runs and random case are what secrets are made of.
 */
const codeShape = ((word: string) => new RegExp(`^${word}(?:[ _.:/-]{1,2}${word}){0,7}(?:[ _.:-]?\\d{1,8})?$`))(
  "(?:[a-z]{1,20}|[A-Z]{1,20}|[a-z]{0,20}(?:[A-Z]{1,2}[a-z]{2,20}){1,5})"
)

/**
 * The provider's own code for a failure, if the body states one. It is shown to people and stored, and a body is nobody's to trust:
 * what does not look like a code is not repeated, since it may be a token.
 */
export const errorCode = (
  body: Readonly<Record<string, unknown>> | undefined,
  succeeded: boolean
): string | undefined => {
  if (body === undefined) return undefined
  const stated = (succeeded ? codePaths : codePathsOfFailure)
    .map((path) => at(body, path))
    .filter((value): value is string => Predicate.isString(value) && value !== "")
  const code = stated.find((value) => value.length <= 64 && codeShape.test(value))
  if (code !== undefined) return code
  if (stated.length > 0) return "unrecognized_error"
  return body["ok"] === false || body["success"] === false ? "refused" : undefined
}

const matches = (
  matcher: AnswerMatcher,
  status: number,
  body: Readonly<Record<string, unknown>> | undefined
): boolean => {
  if (matcher.status !== undefined && matcher.status !== status) return false
  if (matcher.field === undefined) return matcher.status !== undefined
  const value = body === undefined ? undefined : at(body, matcher.field)
  if (!Predicate.isString(value)) return false
  const { contains, values } = matcher
  return (
    (values === undefined && contains === undefined) ||
    values?.includes(value) === true ||
    contains?.some((part) => value.includes(part)) === true
  )
}

/** Reads `Retry-After` (RFC 9110 §10.2.3): seconds, or a date; capped, and never negative. */
const retryAfter = (value: string | undefined, receivedAt: number): Duration.Duration | undefined => {
  if (value === undefined) return undefined
  // Every HTTP date begins with the day's name; `Date.parse` alone would read a date out of "-5" or "1.5".
  const seconds = /^\s*\d+\s*$/.test(value)
    ? Number(value)
    : /^\s*[A-Za-z]{3}/.test(value)
      ? (Date.parse(value) - receivedAt) / 1000
      : Number.NaN
  return Number.isNaN(seconds) ? undefined : Duration.min(Duration.seconds(Math.max(0, seconds)), retryAfterCap)
}
