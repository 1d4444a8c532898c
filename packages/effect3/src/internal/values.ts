/**
 * Values of one Effect as values of the other: ids, times, secrets, outcomes and errors.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { ConfigError, DateTime, Duration, Option, Redacted } from "effect"
import {
  Brand as Brand4,
  type Config as Config4,
  DateTime as DateTime4,
  Duration as Duration4,
  Option as Option4,
  Redacted as Redacted4,
  Schema as Schema4
} from "effect4"
import { ConnectedAccountId, type ConnectedAccount, type RefreshOutcome } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import * as Errors from "../Errors.ts"

/** Both brands are checked where an id comes in. A malformed one, which only a cast can produce, is refused by whoever takes the call. */
export const idToFour: (id: ConnectedAccountId) => Core.ConnectedAccountId = Brand4.nominal<Core.ConnectedAccountId>()
export const idToThree = (id: Core.ConnectedAccountId): ConnectedAccountId =>
  ConnectedAccountId.make(id, { disableValidation: true })

const isKnownStatus = Schema4.is(Core.KnownStatus)
export const statusToFour = (status: string): Core.ConnectedAccountStatus =>
  isKnownStatus(status) ? status : Core.UnknownStatus.make(status)

const isKnownScheme = Schema4.is(Core.KnownAuthScheme)
export const schemeToFour = (scheme: string): Core.AuthScheme =>
  isKnownScheme(scheme) ? scheme : Core.CustomAuthScheme.make(scheme)

export const timeToThree = (time: DateTime4.Utc): DateTime.Utc => DateTime.unsafeMake(time.epochMilliseconds)
export const timeToFour = (time: DateTime.Utc): DateTime4.Utc => DateTime4.makeUnsafe(time.epochMillis)

export const durationToThree = (duration: Duration4.Duration): Duration.Duration =>
  Duration.millis(Duration4.toMillis(duration))
/** Infinity stays infinity. */
export const durationToFour = (duration: Duration.DurationInput): Duration4.Duration =>
  Duration4.millis(Duration.toMillis(duration))

/** A setting that may be left to its default. */
export const durationIfGiven = (duration: Duration.DurationInput | undefined): Duration4.Duration | undefined =>
  duration === undefined ? undefined : durationToFour(duration)

export const secretToThree = (secret: Redacted4.Redacted<string>): Redacted.Redacted<string> =>
  Redacted.make(Redacted4.value(secret))
export const secretToFour = (secret: Redacted.Redacted<string>): Redacted4.Redacted<string> =>
  Redacted4.make(Redacted.value(secret))

export const mapRecord = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Readonly<Record<string, B>> =>
  Object.fromEntries(Object.entries(record).map(([name, value]): [string, B] => [name, f(value)]))

export const optionToThree =
  <A, A3>(value: (value: A) => A3) =>
  (option: Option4.Option<A>): Option.Option<A3> =>
    Option4.isSome(option) ? Option.some(value(option.value)) : Option.none()

/** A field that both sides leave out if it is undefined. */
export const given = <Name extends string, A, B>(
  name: Name,
  value: A | undefined,
  f: (value: A) => B
): { readonly [K in Name]?: B } | Record<never, never> => (value === undefined ? {} : { [name]: f(value) })

export const accountToThree = (account: Core.ConnectedAccount): ConnectedAccount => ({
  ...account,
  id: idToThree(account.id),
  createdAt: timeToThree(account.createdAt),
  updatedAt: timeToThree(account.updatedAt)
})

export const accountToFour = (account: ConnectedAccount): Core.ConnectedAccount => ({
  ...account,
  id: idToFour(account.id),
  status: statusToFour(account.status),
  createdAt: timeToFour(account.createdAt),
  updatedAt: timeToFour(account.updatedAt),
  state: { authScheme: schemeToFour(account.state.authScheme), val: account.state.val }
})

export const outcomeToThree = (outcome: Core.RefreshOutcome): RefreshOutcome => ({
  ...outcome,
  id: idToThree(outcome.id)
})

export const outcomeToFour = (outcome: RefreshOutcome): Core.RefreshOutcome => {
  const id = idToFour(outcome.id)
  return outcome._tag === "Ready" ? { ...outcome, id } : { ...outcome, id, status: statusToFour(outcome.status) }
}

export const refreshOptionsToFour = ({ deadline, ...options }: RefreshOptions): Core.RefreshOptions => ({
  ...options,
  deadline: deadline === undefined ? undefined : timeToFour(deadline)
})

export const refreshOptionsToThree = ({ deadline, ...options }: Core.RefreshOptions): RefreshOptions => ({
  ...options,
  deadline: deadline === undefined ? undefined : timeToThree(deadline)
})

interface Envelope {
  readonly message: string
  readonly code: number
  readonly slug?: string
  readonly requestId?: string
  readonly suggestedFix?: string
  readonly errors?: ReadonlyArray<string>
}

/** The fields that an error with a status has on both sides. */
const envelope = ({ code, errors, message, requestId, slug, suggestedFix }: Envelope): Envelope => ({
  message,
  code,
  ...(slug === undefined ? {} : { slug }),
  ...(requestId === undefined ? {} : { requestId }),
  ...(suggestedFix === undefined ? {} : { suggestedFix }),
  ...(errors === undefined ? {} : { errors })
})

const waitToThree = (wait: Duration4.Duration | undefined) =>
  wait === undefined ? {} : { retryAfter: durationToThree(wait) }
const waitToFour = (wait: Duration.Duration | undefined) =>
  wait === undefined ? {} : { retryAfter: durationToFour(wait) }

export const errorToThree = (error: Core.RefreshError): Errors.RefreshError => {
  switch (error._tag) {
    case "InvalidRequest":
      return new Errors.InvalidRequest(envelope(error))
    case "Unauthorized":
      return new Errors.Unauthorized(envelope(error))
    case "Forbidden":
      return new Errors.Forbidden(envelope(error))
    case "AccountNotFound":
      return new Errors.AccountNotFound(envelope(error))
    case "RefreshFailed":
      return new Errors.RefreshFailed(envelope(error))
    case "RefreshUnsupported":
      return new Errors.RefreshUnsupported(envelope(error))
    case "RateLimited":
      return new Errors.RateLimited({ ...envelope(error), ...waitToThree(error.retryAfter) })
    case "Unavailable":
      return new Errors.Unavailable({ ...envelope(error), ...waitToThree(error.retryAfter) })
    case "RefusedLocally":
      return new Errors.RefusedLocally({
        message: error.message,
        reason: error.reason,
        ...waitToThree(error.retryAfter)
      })
    case "TransportError":
      return new Errors.TransportError({ message: error.message, reason: error.reason })
    case "DeadlineExceeded":
      return new Errors.DeadlineExceeded({
        message: error.message,
        timeout: durationToThree(error.timeout),
        sent: error.sent
      })
    case "UnexpectedResponse":
      return new Errors.UnexpectedResponse({ message: error.message, status: error.status, excerpt: error.excerpt })
  }
}

export const errorToFour = (error: Errors.RefreshError): Core.RefreshError => {
  switch (error._tag) {
    case "InvalidRequest":
      return new Core.InvalidRequest(envelope(error))
    case "Unauthorized":
      return new Core.Unauthorized(envelope(error))
    case "Forbidden":
      return new Core.Forbidden(envelope(error))
    case "AccountNotFound":
      return new Core.AccountNotFound(envelope(error))
    case "RefreshFailed":
      return new Core.RefreshFailed(envelope(error))
    case "RefreshUnsupported":
      return new Core.RefreshUnsupported(envelope(error))
    case "RateLimited":
      return new Core.RateLimited({ ...envelope(error), ...waitToFour(error.retryAfter) })
    case "Unavailable":
      return new Core.Unavailable({ ...envelope(error), ...waitToFour(error.retryAfter) })
    case "RefusedLocally":
      return new Core.RefusedLocally({ message: error.message, reason: error.reason, ...waitToFour(error.retryAfter) })
    case "TransportError":
      return new Core.TransportError({ message: error.message, reason: error.reason })
    case "DeadlineExceeded":
      return new Core.DeadlineExceeded({
        message: error.message,
        timeout: durationToFour(error.timeout),
        sent: error.sent
      })
    case "UnexpectedResponse":
      return new Core.UnexpectedResponse({ message: error.message, status: error.status, excerpt: error.excerpt })
  }
}

export const notReadyToThree = ({ accountId, status }: Core.ConnectionNotReady): Errors.ConnectionNotReady =>
  new Errors.ConnectionNotReady({ accountId: idToThree(accountId), status })

export const notReadyToFour = ({ accountId, status }: Errors.ConnectionNotReady): Core.ConnectionNotReady =>
  new Core.ConnectionNotReady({ accountId: idToFour(accountId), status: statusToFour(status) })

export const consentRequiredToThree = (error: Core.ConsentRequired): Errors.ConsentRequired =>
  new Errors.ConsentRequired({
    accountId: idToThree(error.accountId),
    redirectUrl: error.redirectUrl,
    status: error.status
  })

/** A setting is wrong. The message names it and never its value. */
export const configErrorToThree = (error: Config4.ConfigError): ConfigError.ConfigError =>
  ConfigError.InvalidData([], error.message)
