/**
 * The decision table: what the answer of a token endpoint means for the credential.
 *
 * It is one pure, total function from an observation to a verdict. It distinguishes an outage from a revocation: a credential is dead only if
 * the provider said so in a known form.
 *
 * @module
 */
import { Duration, Predicate, Redacted } from "effect"
import type { AnswerMatcher, ProviderProfile } from "@rekindle/core"
import { at, type IssuedTokens, issuedTokens, parseBody } from "./TokenResponse.ts"

/** The observation of one token request. */
export type Observation =
  /**
   * The engine's own rules refuse the request, or it cannot be built. Nothing was sent, and nothing will be until a setting or the credential
   * is changed. `reason` is a code and what to change, for people.
   */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** It was provably not sent: DNS, connect or TLS failed. `reason` is the step and the error's code, such as `dns_failed ENOTFOUND`. */
  | { readonly _tag: "NotSent"; readonly reason: string }
  /**
   * It was sent, and no complete answer arrived. `reason` says what happened, such as `connection_lost ECONNRESET`. `status` is that of an
   * answer whose headers arrived and whose body did not, or was too large.
   */
  | { readonly _tag: "NoAnswer"; readonly reason: string; readonly status?: number }
  /** An answer arrived. `receivedAt` is in epoch milliseconds. */
  | {
      readonly _tag: "Answer"
      readonly status: number
      readonly contentType: string | undefined
      readonly retryAfter: string | undefined
      readonly body: string
      readonly receivedAt: number
      /** All headers, for a strategy that needs others (a DPoP nonce). Never stored. */
      readonly headers?: Readonly<Record<string, string>>
    }

/** Makes the observation `Refused`. */
export const refused = (reason: string): Observation => ({ _tag: "Refused", reason })
/** Makes the observation `NotSent`. */
export const notSent = (reason: string): Observation => ({ _tag: "NotSent", reason })
/** Makes the observation `NoAnswer`. */
export const noAnswer = (reason: string, status?: number): Observation => ({
  _tag: "NoAnswer",
  reason,
  ...(status !== undefined && { status })
})

/** The meaning of an observation. */
export type Verdict =
  /** New tokens were issued. They must be stored before anything else is done. */
  | { readonly _tag: "Renewed"; readonly tokens: IssuedTokens }
  /** The provider answered with the tokens that the account already has. */
  | { readonly _tag: "NotRenewed"; readonly tokens: IssuedTokens }
  /** Nothing was sent, and nothing will be until a setting or the credential is changed. */
  | { readonly _tag: "Refused"; readonly reason: string }
  /** The provider did nothing. The same request may be sent again. */
  | { readonly _tag: "NotApplied"; readonly reason: string }
  /** The grant may or may not have been spent. */
  | { readonly _tag: "Ambiguous"; readonly reason: string }
  /** The provider asks for a later attempt. */
  | { readonly _tag: "Transient"; readonly retryAfter: Duration.Duration | undefined; readonly code: string }
  /** The provider confirmed that the credential will not work again. */
  | { readonly _tag: "Dead"; readonly code: string }
  /** The provider refused the application. This says nothing about the account. */
  | { readonly _tag: "AppFault"; readonly code: string }
  /** The provider refused the request for another reason, which is a fault of configuration. */
  | { readonly _tag: "Misconfigured"; readonly code: string }

/** The upper bound on `Retry-After`. */
export const retryAfterCap = Duration.minutes(15)

// The codes below are compared in lower case.

/** Codes that blame the application: those of RFC 6749 §5.2, then GitHub's, Slack's and HubSpot's. */
const appFaults = new Set([
  "invalid_client",
  "unauthorized_client",
  "incorrect_client_credentials",
  "invalid_client_id",
  "bad_client_id",
  "bad_client_secret"
])

/** Codes that ask for a later attempt: those of RFC 6749 §4.1.2.1 and RFC 8628 §3.5, then Slack's. */
const transientCodes = new Set([
  "temporarily_unavailable",
  "slow_down",
  "service_unavailable",
  "ratelimited",
  "rate_limited",
  "rate_limit_exceeded"
])

/** Codes that mean a 500, whatever the status. Part of the work may have been done, as Slack's documentation says. */
const breakdownCodes = new Set(["server_error", "internal_error", "internal_server_error", "fatal_error"])

/** The secrets of an account's credential, by name. */
export type HeldSecrets = Readonly<Record<string, Redacted.Redacted<string>>>

const isNew = (issued: Redacted.Redacted<string>, held: Redacted.Redacted<string> | undefined): boolean =>
  held === undefined || Redacted.value(issued) !== Redacted.value(held)

/**
 * Decides what an observation means.
 *
 * @param held the account's present secrets. The same tokens in the answer mean that nothing was renewed.
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

  // Tokens come first: an answer with usable tokens has rotated the grant, whatever else is wrong with it.
  if (body !== undefined && succeeded) {
    const tokens = issuedTokens(body, profile, answer.receivedAt)
    if (tokens !== undefined) {
      const moved =
        isNew(tokens.accessToken, held["access_token"]) ||
        (tokens.refreshToken !== undefined && isNew(tokens.refreshToken, held["refresh_token"]))
      return moved ? { _tag: "Renewed", tokens } : { _tag: "NotRenewed", tokens }
    }
  }

  const stated = errorCode(body, succeeded)
  const redirected = status >= 300 && status < 400
  const code = stated?.replace(/[^\w.:-]+/g, "_") ?? `${redirected ? "redirected" : "http"}_${status}`
  const later: Verdict = { _tag: "Transient", retryAfter: retryAfter(answer.retryAfter, answer.receivedAt), code }
  // A matcher applies to an outage only if it names its status.
  const outage = status >= 500 || status === 429 || status === 408
  const isOneOf = (matchers: ReadonlyArray<AnswerMatcher>): boolean =>
    matchers.some((matcher) => (!outage || matcher.status !== undefined) && matches(matcher, status, body))
  if (isOneOf(profile.transient)) return later
  if (isOneOf(profile.deadToken)) return { _tag: "Dead", code }
  if (status === 429 || status === 503) return later
  if (status >= 500 || status === 408 || status === 409) return { _tag: "Ambiguous", reason: code }

  // These redirects say that the request belongs elsewhere (RFC 9110 §15.4). Others may be sent after the work was done.
  const moved = status === 301 || status === 307 || status === 308
  const refused = moved || status >= 400 || (succeeded && stated !== undefined)
  if (!refused) {
    // A 2xx without tokens or an error is truncated or foreign, and another redirect is unclear. The grant may be spent.
    return { _tag: "Ambiguous", reason: succeeded ? "answer without tokens" : code }
  }
  const known = stated?.toLowerCase() ?? ""
  if (appFaults.has(known)) return { _tag: "AppFault", code }
  if (transientCodes.has(known)) return later
  if (breakdownCodes.has(known)) return { _tag: "Ambiguous", reason: code }
  if (known === "invalid_grant") return { _tag: "Dead", code }
  return { _tag: "Misconfigured", code }
}

/** The fields in which providers state the code of a failure. RFC 6749 §5.2 uses `error`. */
const codePaths = ["error", "error.code", "error.type", "error.status", "errorCode", "error_code"]

/** The same with further fields, for answers whose status shows a failure. In other answers these fields have other meanings. */
const codePathsOfFailure = [...codePaths, "code", "status"]

/**
 * The form of a code: a few words such as `invalid_grant`, `BAD_REFRESH_TOKEN` or `OAuthException`, and at most one number, at the end.
 * Tokens do not have this form, because they mix digits, letters and case at random, or are long.
 */
const codeShape = ((word: string) => new RegExp(`^${word}(?:[ _.:/-]{1,2}${word}){0,7}(?:[ _.:-]?\\d{1,8})?$`))(
  "(?:[a-z]{1,20}|[A-Z]{1,20}|[a-z]{0,20}(?:[A-Z]{1,2}[a-z]{2,20}){1,5})"
)

/**
 * The provider's code for a failure, if the body states one. It is stored and shown to people. Text that does not have the form of a code is
 * not repeated, because it may be a token.
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

/** Reads `Retry-After` (RFC 9110 §10.2.3): seconds or a date. It is capped, and never negative. */
const retryAfter = (value: string | undefined, receivedAt: number): Duration.Duration | undefined => {
  if (value === undefined) return undefined
  // Every HTTP date begins with the name of a day. `Date.parse` alone would also accept "-5" and "1.5".
  const seconds = /^\s*\d+\s*$/.test(value)
    ? Number(value)
    : /^\s*[A-Za-z]{3}/.test(value)
      ? (Date.parse(value) - receivedAt) / 1000
      : Number.NaN
  return Number.isNaN(seconds) ? undefined : Duration.min(Duration.seconds(Math.max(0, seconds)), retryAfterCap)
}
