/**
 * Everything that can go wrong with a refresh, as values.
 *
 * There is one tagged error for each failure status of the contract and four that only a client can meet. Each answers the one
 * question that matters for a call which rotates secrets and must not be sent twice: its `disposition`. It is derived from what the error
 * says, so the two cannot disagree.
 *
 * @module
 */
import { type Duration, Effect, Schema } from "effect"
import { dispositionOf } from "./Failures.ts"

/**
 * May the same refresh be sent again?
 *
 * - `not-sent`: it provably never reached the other side (DNS, connect, TLS, an open breaker, a local limit). Yes.
 * - `rejected`: the other side answered that it did nothing. Only for 429 and 503, after `retryAfter`.
 * - `ambiguous`: sent, and no trustworthy answer (timeout, reset, 500, 502, 504, garbage). Only after looking first (`get`), or under
 *   an idempotency key the server honours.
 */
export const Disposition = Schema.Literals(["not-sent", "rejected", "ambiguous"])
export type Disposition = typeof Disposition.Type

/** The fields inside the wire envelope `{"error": {…}}` that every failure body carries. */
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
  /** For people. Never holds a secret. */
  message: Schema.String,
  /** The server's number for this kind of failure; ours are the status times a hundred. */
  code: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(status * 100))),
  /** The server's name for it: tells apart failures that share a status. */
  slug: Schema.optionalKey(Schema.String),
  requestId: Schema.optionalKey(Schema.String),
  suggestedFix: Schema.optionalKey(Schema.String),
  /** Details, such as each invalid field or the provider's own error code. */
  errors: Schema.optionalKey(Schema.Array(Schema.String))
})

const retryFields = (status: number) => ({
  ...envelopeFields(status),
  /** How long the server asks us to wait. A caller caps it: an absurd value is not a reason to wait a day. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
})

/** 400: the id or body is malformed, or the account cannot be refreshed in its state; `slug` tells them apart. Mend the request. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("@rekindle/core/InvalidRequest")(
  "InvalidRequest",
  envelopeFields(400),
  { httpApiStatus: 400 }
) {
  readonly status = 400
  readonly disposition = "rejected" satisfies Disposition
}

/** 401: the API key is missing or unknown. Configure a valid one. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("@rekindle/core/Unauthorized")(
  "Unauthorized",
  envelopeFields(401),
  { httpApiStatus: 401 }
) {
  readonly status = 401
  readonly disposition = "rejected" satisfies Disposition
}

/** 403: the API key may not refresh this. Use a key with the permission. */
export class Forbidden extends Schema.TaggedError<Forbidden>("@rekindle/core/Forbidden")(
  "Forbidden",
  envelopeFields(403),
  { httpApiStatus: 403 }
) {
  readonly status = 403
  readonly disposition = "rejected" satisfies Disposition
}

/** 404: no such account, deleted, or another project's. Connect the account anew. */
export class AccountNotFound extends Schema.TaggedError<AccountNotFound>("@rekindle/core/AccountNotFound")(
  "AccountNotFound",
  envelopeFields(404),
  { httpApiStatus: 404 }
) {
  readonly status = 404
  readonly disposition = "rejected" satisfies Disposition
}

/**
 * 500: the server tried and failed. Where its slug says that the provider refused, or that nothing was sent, it is `rejected`: mend what it
 * names. Otherwise whether the provider already rotated the grant is unknown: look first, then try again.
 */
export class RefreshFailed extends Schema.TaggedError<RefreshFailed>("@rekindle/core/RefreshFailed")(
  "RefreshFailed",
  envelopeFields(500),
  { httpApiStatus: 500 }
) {
  readonly status = 500
  readonly disposition: Disposition = dispositionOf(500, this.slug) ?? "ambiguous"
}

/** 501: this account's scheme has nothing to refresh. Do not ask again. */
export class RefreshUnsupported extends Schema.TaggedError<RefreshUnsupported>("@rekindle/core/RefreshUnsupported")(
  "RefreshUnsupported",
  envelopeFields(501),
  { httpApiStatus: 501 }
) {
  readonly status = 501
  readonly disposition = "rejected" satisfies Disposition
}

/** 429: too many requests. Wait for `retryAfter`, then ask again. */
export class RateLimited extends Schema.TaggedError<RateLimited>("@rekindle/core/RateLimited")(
  "RateLimited",
  retryFields(429),
  { httpApiStatus: 429 }
) {
  readonly status = 429
  readonly disposition = "rejected" satisfies Disposition
}

/** 503: busy or temporarily down, nothing was done, and it says nothing about the credential. Wait, then ask again. */
export class Unavailable extends Schema.TaggedError<Unavailable>("@rekindle/core/Unavailable")(
  "Unavailable",
  retryFields(503),
  { httpApiStatus: 503 }
) {
  readonly status = 503
  readonly disposition = "rejected" satisfies Disposition
}

/**
 * A policy of this process refused to send: nothing left. Ask again after `retryAfter` where it is known, else once there are fewer calls.
 *
 * - `circuit-open`: the other side kept failing, and is left alone for a while.
 * - `queue-full`: as many calls are on their way, and as many wait, as are allowed. Call less at once, or allow more.
 * - `rate-limited`: the limit for this window is used up.
 */
export class RefusedLocally extends Schema.TaggedError<RefusedLocally>("@rekindle/core/RefusedLocally")(
  "RefusedLocally",
  {
    message: Schema.String,
    reason: Schema.Literals(["circuit-open", "queue-full", "rate-limited"]),
    /** When the policy would send again, if it knows. */
    retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
  }
) {
  readonly disposition = "not-sent" satisfies Disposition
}

/**
 * The request or its answer was lost on the way.
 *
 * - `connect`: the connection was never made. Ask again.
 * - `encode`: the request could not be made. Mend it.
 * - `reset`, `unknown`: the connection ended before a whole answer came. The request may have been carried out: look first.
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

/** The caller's deadline passed. If nothing had been sent, ask again with more time; else look first. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>("@rekindle/core/DeadlineExceeded")(
  "DeadlineExceeded",
  {
    message: Schema.String,
    /** How long the caller was willing to wait. */
    timeout: Schema.DurationFromMillis,
    /** Whether the request may have left before the time was over. */
    sent: Schema.Boolean
  }
) {
  readonly disposition: Disposition = this.sent ? "ambiguous" : "not-sent"
}

/** An answer outside the contract: an undeclared status, or a body that does not decode. Usually a proxy between us and the server. */
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>("@rekindle/core/UnexpectedResponse")(
  "UnexpectedResponse",
  {
    message: Schema.String,
    status: Schema.Finite,
    /** The first characters of the body, for people; bounded, so that a megabyte of HTML stays out of the logs. */
    excerpt: Schema.String
  }
) {
  /** Characters of a foreign body that are kept. */
  static readonly excerptLimit = 256
  /** An undeclared 4xx says that nothing was done, save for 408 (timed out) and 409 (conflict), where something may have been. */
  readonly disposition: Disposition =
    this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 409 ? "rejected" : "ambiguous"
}

/** The failures that are a status of the contract. */
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

/** The failures that only a client meets: no answer of the contract arrived. */
export const ClientError = Schema.Union([RefusedLocally, TransportError, DeadlineExceeded, UnexpectedResponse]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type ClientError = typeof ClientError.Type

/**
 * Every failure of `refresh`. `RefreshError.match(error, {…})` folds it by tag; a missing case does not compile.
 */
export const RefreshError = Schema.Union([...StatusError.members, ...ClientError.members]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type RefreshError = typeof RefreshError.Type

/**
 * Every failure of `get`: the same as those of `refresh`, since a server may fail at a read as well, or not support one. A read changes
 * nothing, so it may be sent again whatever the disposition.
 */
export const ReadError = RefreshError
export type ReadError = RefreshError

/** How long the other side asked us to wait, if it did. */
export const retryAfterOf = (error: RefreshError): Duration.Duration | undefined =>
  "retryAfter" in error ? error.retryAfter : undefined

/** Whether a failure says that the same request may be accepted later: the server is busy, or down. */
export const mayPass = (error: RefreshError): error is RateLimited | Unavailable =>
  error._tag === "RateLimited" || error._tag === "Unavailable"
