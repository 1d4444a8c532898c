/**
 * The failures of a provider that is itself a client of another server, as the server answers them. Some have no status of the contract. The
 * caller gets an error with the same disposition, and the log gets the failure.
 *
 * @module
 */
import { AccountNotFound, ClientError, RefreshFailed, Resilience, type StatusError, Unavailable } from "@rekindle/core"
import { Effect, Schema } from "effect"

const isClientError = Schema.is(ClientError)

const answering =
  (answer: (error: ClientError) => StatusError) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.catchIf<A, E, R, Extract<E, ClientError>, never, StatusError, never>(
      effect,
      (error): error is Extract<E, ClientError> => isClientError(error),
      (error) => Effect.andThen(Effect.logWarning(`Upstream: ${error.message}`), Effect.fail(answer(error)))
    )

/** Answers the failures of a refresh, or of another change, which must not be repeated blindly. */
export const answerChange = answering((error) =>
  error.disposition === "ambiguous"
    ? new RefreshFailed({
        message: "The request was sent upstream and no trustworthy answer came back",
        slug: "upstream_ambiguous",
        suggestedFix: "Read the account before sending it again"
      })
    : unavailable(error)
)

/** Answers the failures of a read. It changes nothing and may be repeated, unless the upstream answered outside the contract. */
export const answerRead = answering((error) =>
  error._tag === "UnexpectedResponse"
    ? new RefreshFailed({ message: "The upstream's answer is outside the contract", slug: "upstream_unexpected" })
    : unavailable(error)
)

const unavailable = (error: ClientError) => {
  const retryAfter = Resilience.retryAfterOf(error)
  return new Unavailable({
    message: "The upstream could not be reached; nothing was done",
    slug: "upstream_unavailable",
    ...(retryAfter !== undefined && { retryAfter })
  })
}

/** A failure as the published endpoints have it: a 404 for an unknown auth config, for which core's calls fail with a 400. */
export const asPublished = (error: StatusError): StatusError => {
  if (error._tag !== "InvalidRequest" || error.slug !== "auth_config_not_found") return error
  const { errors, message, slug, suggestedFix } = error
  return new AccountNotFound({
    message,
    slug,
    ...(suggestedFix !== undefined && { suggestedFix }),
    ...(errors !== undefined && { errors })
  })
}
