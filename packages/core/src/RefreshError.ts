/**
 * The failures of a refresh, as values.
 *
 * There is one tagged error for each failure status of the contract, and four that only a client meets. A refresh rotates secrets and must not
 * be sent twice, so each error has a `disposition`, which says whether it may be sent again. It is derived from the fields of the error.
 *
 * @module
 */
import { type Duration, Effect, Schema } from "effect"
import { dispositionOf } from "./Failures.ts"

/**
 * Whether the same refresh may be sent again.
 *
 * - `not-sent`: it provably never reached the other side (DNS, connect, TLS, open breaker, local limit). It may.
 * - `rejected`: the other side answered that it did nothing. It may after a 429 or 503, once `retryAfter` has passed.
 * - `ambiguous`: it was sent and no trustworthy answer came (timeout, reset, 500, 502, 504, garbage). It may after a look at the account
 *   (`get`), or with an idempotency key that the server honours.
 */
export const Disposition = Schema.Literals(["not-sent", "rejected", "ambiguous"])
export type Disposition = typeof Disposition.Type

/** The body of every failure: `{"error": {…}}`. */
export const ErrorEnvelope = Schema.Struct({
  error: Schema.Struct({
    message: Schema.String,
    code: Schema.Finite,
    slug: Schema.optionalKey(Schema.String),
    status: Schema.Finite,
    request_id: Schema.optionalKey(Schema.String),
    suggested_fix: Schema.optionalKey(Schema.String),
    errors: Schema.optionalKey(Schema.Array(Schema.String))
  })
}).pipe(Schema.annotate({ identifier: "ErrorEnvelope" }))
export type ErrorEnvelope = typeof ErrorEnvelope.Type

const envelopeFields = (status: number) => ({
  /** For people. It never holds a secret. */
  message: Schema.String,
  /** The server's number for this kind of failure. Rekindle's is the status times a hundred. */
  code: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(status * 100))),
  /** The server's name for this kind of failure. It tells apart failures with the same status. */
  slug: Schema.optionalKey(Schema.String),
  requestId: Schema.optionalKey(Schema.String),
  suggestedFix: Schema.optionalKey(Schema.String),
  /** Details, such as each invalid field or the provider's own error code. */
  errors: Schema.optionalKey(Schema.Array(Schema.String))
})

const retryFields = (status: number) => ({
  ...envelopeFields(status),
  /** How long the server asks to wait. A caller should cap it, because a server may ask for a day. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
})

/** 400: the id or body is malformed, or the account cannot be refreshed in its state. `slug` tells which. Correct the request. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("@rekindle/core/InvalidRequest")(
  "InvalidRequest",
  envelopeFields(400),
  { httpApiStatus: 400 }
) {
  readonly status = 400 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 401: the API key is missing or unknown. Configure a valid one. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("@rekindle/core/Unauthorized")(
  "Unauthorized",
  envelopeFields(401),
  { httpApiStatus: 401 }
) {
  readonly status = 401 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 403: the API key may not do this. Use a key that may. */
export class Forbidden extends Schema.TaggedError<Forbidden>("@rekindle/core/Forbidden")(
  "Forbidden",
  envelopeFields(403),
  { httpApiStatus: 403 }
) {
  readonly status = 403 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 404: the account is unknown, removed, or belongs to another project. Connect the account again. */
export class AccountNotFound extends Schema.TaggedError<AccountNotFound>("@rekindle/core/AccountNotFound")(
  "AccountNotFound",
  envelopeFields(404),
  { httpApiStatus: 404 }
) {
  readonly status = 404 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/**
 * 500: the refresh failed on the server. It is `rejected` if its slug says that the provider refused or that nothing was sent; correct what it
 * names. Otherwise it is `ambiguous`: the provider may have rotated the grant, so read the account before you try again.
 */
export class RefreshFailed extends Schema.TaggedError<RefreshFailed>("@rekindle/core/RefreshFailed")(
  "RefreshFailed",
  envelopeFields(500),
  { httpApiStatus: 500 }
) {
  readonly status = 500 as const
  readonly disposition: Disposition = dispositionOf(500, this.slug) ?? "ambiguous"
}

/** 501: the account's scheme has nothing to refresh. Do not try again. */
export class RefreshUnsupported extends Schema.TaggedError<RefreshUnsupported>("@rekindle/core/RefreshUnsupported")(
  "RefreshUnsupported",
  envelopeFields(501),
  { httpApiStatus: 501 }
) {
  readonly status = 501 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 429: too many requests. Try again after `retryAfter`. */
export class RateLimited extends Schema.TaggedError<RateLimited>("@rekindle/core/RateLimited")(
  "RateLimited",
  retryFields(429),
  { httpApiStatus: 429 }
) {
  readonly status = 429 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 503: the server is busy or down. Nothing was done, and the credential is unchanged. Try again after `retryAfter`. */
export class Unavailable extends Schema.TaggedError<Unavailable>("@rekindle/core/Unavailable")(
  "Unavailable",
  retryFields(503),
  { httpApiStatus: 503 }
) {
  readonly status = 503 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/**
 * A policy of this process refused the call, and nothing was sent. Try again after `retryAfter`, or with fewer calls at once.
 *
 * - `circuit-open`: the other side kept failing, so the circuit breaker lets no calls through for a while.
 * - `queue-full`: the bulkhead's calls and its queue are at their limits. Make fewer calls at once, or raise the limits.
 * - `rate-limited`: the limit of this window is used up.
 */
export class RefusedLocally extends Schema.TaggedError<RefusedLocally>("@rekindle/core/RefusedLocally")(
  "RefusedLocally",
  {
    message: Schema.String,
    reason: Schema.Literals(["circuit-open", "queue-full", "rate-limited"]),
    /** How long until the policy lets a call through, if it is known. */
    retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
  }
) {
  readonly disposition = "not-sent" as const satisfies Disposition
}

/**
 * The request or its answer was lost.
 *
 * - `connect`: no connection was made. Try again.
 * - `encode`: the request could not be built. Correct it.
 * - `reset`, `unknown`: the connection ended before the whole answer came. The request may have been carried out, so read the account first.
 */
export class TransportError extends Schema.TaggedError<TransportError>("@rekindle/core/TransportError")(
  "TransportError",
  {
    message: Schema.String,
    reason: Schema.Literals(["connect", "encode", "reset", "unknown"])
  }
) {
  readonly disposition: Disposition = this.reason === "connect" || this.reason === "encode" ? "not-sent" : "ambiguous"
}

/** The caller's deadline passed. If nothing was sent, try again with more time. Otherwise read the account first. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>("@rekindle/core/DeadlineExceeded")(
  "DeadlineExceeded",
  {
    message: Schema.String,
    /** How long the caller was willing to wait. */
    timeout: Schema.DurationFromMillis,
    /** Whether the request may have been sent before the deadline. */
    sent: Schema.Boolean
  }
) {
  readonly disposition: Disposition = this.sent ? "ambiguous" : "not-sent"
}

/** An answer outside the contract: an undeclared status, or a body that does not decode. Often it comes from a proxy before the server. */
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>("@rekindle/core/UnexpectedResponse")(
  "UnexpectedResponse",
  {
    message: Schema.String,
    status: Schema.Finite,
    /** The first characters of the body, for people. It is bounded, so that a page of HTML does not fill the logs. */
    excerpt: Schema.String
  }
) {
  /** The number of characters in an excerpt. */
  static readonly excerptLimit = 256
  /** After an undeclared 4xx nothing was done. The exceptions are 408 (timeout) and 409 (conflict). */
  readonly disposition: Disposition =
    this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 409 ? "rejected" : "ambiguous"
}

/** The failures that have a status of the contract. */
export const StatusError = Schema.Union([
  InvalidRequest,
  Unauthorized,
  Forbidden,
  AccountNotFound,
  RefreshFailed,
  RefreshUnsupported,
  RateLimited,
  Unavailable
]).pipe(Schema.toTaggedUnion("_tag"))
export type StatusError = typeof StatusError.Type

/** The failures that only a client meets: it received no answer of the contract. */
export const ClientError = Schema.Union([RefusedLocally, TransportError, DeadlineExceeded, UnexpectedResponse]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type ClientError = typeof ClientError.Type

/**
 * Every failure of `refresh`. `RefreshError.match(error, {…})` folds it by tag. A missing case does not compile.
 */
export const RefreshError = Schema.Union([...StatusError.members, ...ClientError.members]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type RefreshError = typeof RefreshError.Type

/**
 * Every failure of `get`: the same as those of `refresh`. A read changes nothing, so it may be sent again whatever the disposition.
 */
export const ReadError = RefreshError
export type ReadError = RefreshError

/** How long the other side asked to wait, if it did. */
export const retryAfterOf = (error: RefreshError): Duration.Duration | undefined =>
  "retryAfter" in error ? error.retryAfter : undefined

/** Whether the same request may be accepted later, because the server is busy or down. */
export const mayPass = (error: RefreshError): error is RateLimited | Unavailable =>
  error._tag === "RateLimited" || error._tag === "Unavailable"
