/**
 * The failures of a provider that is itself a client of another server, as the server answers them.
 *
 * @module
 */
import {
  AccountNotFound,
  type ReadError,
  type RefreshError,
  RefreshFailed,
  Resilience,
  type StatusError,
  Unavailable
} from "@rekindle/core"
import { Effect } from "effect"

/**
 * A provider that is itself a client of another server has failures without a status of the contract. The caller gets an error with the same
 * disposition, and the log gets the failure.
 */
export const answerRefreshError = (error: RefreshError): Effect.Effect<never, StatusError> => {
  switch (error._tag) {
    case "RefusedLocally":
    case "TransportError":
    case "DeadlineExceeded":
    case "UnexpectedResponse":
      return Effect.andThen(
        Effect.logWarning(`Upstream: ${error.message}`),
        Effect.fail(
          error.disposition === "ambiguous"
            ? new RefreshFailed({
                message: "The request was sent upstream and no trustworthy answer came back",
                slug: "upstream_ambiguous",
                suggestedFix: "Read the account before refreshing it again"
              })
            : upstreamUnavailable(error)
        )
      )
    default:
      return Effect.fail(error)
  }
}

/** A read changes nothing and may be repeated, unless the upstream answered outside the contract. */
export const answerReadError = (error: ReadError): Effect.Effect<never, StatusError> => {
  switch (error._tag) {
    case "RefusedLocally":
    case "TransportError":
    case "DeadlineExceeded":
      return Effect.andThen(
        Effect.logWarning(`Upstream read: ${error.message}`),
        Effect.fail(upstreamUnavailable(error))
      )
    case "UnexpectedResponse":
      return Effect.andThen(
        Effect.logWarning(`Upstream read: ${error.message}`),
        Effect.fail(
          new RefreshFailed({ message: "The upstream's answer is outside the contract", slug: "upstream_unexpected" })
        )
      )
    default:
      return Effect.fail(error)
  }
}

const upstreamUnavailable = (error: RefreshError) => {
  const retryAfter = Resilience.retryAfterOf(error)
  return new Unavailable({
    message: "The upstream could not be reached; nothing was done",
    slug: "upstream_unavailable",
    ...(retryAfter !== undefined && { retryAfter })
  })
}

/** The slug of a call that names an unknown auth config. Core's calls fail with a 400, and the contract has a 404. */
const unknownAuthConfig = "auth_config_not_found"

const asAbsent = (error: StatusError): StatusError => {
  if (error._tag !== "InvalidRequest" || error.slug !== unknownAuthConfig) return error
  const { errors, message, slug, suggestedFix } = error
  return new AccountNotFound({
    message,
    slug,
    ...(suggestedFix !== undefined && { suggestedFix }),
    ...(errors !== undefined && { errors })
  })
}

/** A read of `Connections`, with its failures as the contract has them. */
export const reading = <A, R>(read: Effect.Effect<A, RefreshError, R>): Effect.Effect<A, StatusError, R> =>
  read.pipe(Effect.catch(answerReadError), Effect.mapError(asAbsent))

/** A change by `Connections`, with its failures as the contract has them. */
export const changing = <A, R>(change: Effect.Effect<A, RefreshError, R>): Effect.Effect<A, StatusError, R> =>
  change.pipe(Effect.catch(answerRefreshError), Effect.mapError(asAbsent))
