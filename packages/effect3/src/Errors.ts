/**
 * The failures, as tagged errors of Effect 3. Each has a `disposition`, which says whether the same call may be sent again.
 *
 * `Effect.catchTag` takes their tags, and `instanceof` their classes.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { Schema } from "effect"
import { ConnectedAccountId, type ConnectedAccountStatus } from "./ConnectedAccount.ts"

/**
 * Whether the same refresh may be sent again.
 *
 * - `not-sent`: it provably never reached the other side. It may.
 * - `rejected`: the other side answered that it did nothing. It may after a 429 or 503, once `retryAfter` has passed.
 * - `ambiguous`: it was sent and no trustworthy answer came. It may after a look at the account (`get`), or with an idempotency key that the
 *   server honours.
 */
export type Disposition = "not-sent" | "rejected" | "ambiguous"

const optional = <S extends Schema.Schema.All>(schema: S) => Schema.optionalWith(schema, { exact: true })

const envelopeFields = (status: number) => ({
  /** For people. It never holds a secret. */
  message: Schema.String,
  /** The server's number for this kind of failure. Default: the status times a hundred. */
  code: Schema.Number.pipe(
    Schema.propertySignature,
    Schema.withConstructorDefault(() => status * 100)
  ),
  /** The server's name for this kind of failure. It tells apart failures with the same status. */
  slug: optional(Schema.String),
  requestId: optional(Schema.String),
  suggestedFix: optional(Schema.String),
  /** Details, such as each invalid field or the provider's own error code. */
  errors: optional(Schema.Array(Schema.String))
})

const retryFields = (status: number) => ({
  ...envelopeFields(status),
  /** How long the server asks to wait. A caller should cap it, because a server may ask for a day. */
  retryAfter: optional(Schema.DurationFromMillis)
})

/** 400: the id or body is malformed, or the account cannot be refreshed in its state. `slug` tells which. Correct the request. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("@rekindle/effect3/InvalidRequest")(
  "InvalidRequest",
  envelopeFields(400)
) {
  readonly status = 400 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 401: the API key is missing or unknown. Configure a valid one. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("@rekindle/effect3/Unauthorized")(
  "Unauthorized",
  envelopeFields(401)
) {
  readonly status = 401 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 403: the API key may not do this. Use a key that may. */
export class Forbidden extends Schema.TaggedError<Forbidden>("@rekindle/effect3/Forbidden")(
  "Forbidden",
  envelopeFields(403)
) {
  readonly status = 403 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 404: the account is unknown, removed, or belongs to another project. Connect the account again. */
export class AccountNotFound extends Schema.TaggedError<AccountNotFound>("@rekindle/effect3/AccountNotFound")(
  "AccountNotFound",
  envelopeFields(404)
) {
  readonly status = 404 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 500: the refresh failed on the server. `rejected` if its slug says that nothing was done, otherwise `ambiguous`: read the account first. */
export class RefreshFailed extends Schema.TaggedError<RefreshFailed>("@rekindle/effect3/RefreshFailed")(
  "RefreshFailed",
  envelopeFields(500)
) {
  readonly status = 500 as const
  readonly disposition: Disposition = Core.Failures.dispositionOf(500, this.slug) ?? "ambiguous"
}

/** 501: the account's scheme has nothing to refresh. Do not try again. */
export class RefreshUnsupported extends Schema.TaggedError<RefreshUnsupported>("@rekindle/effect3/RefreshUnsupported")(
  "RefreshUnsupported",
  envelopeFields(501)
) {
  readonly status = 501 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 429: too many requests. Try again after `retryAfter`. */
export class RateLimited extends Schema.TaggedError<RateLimited>("@rekindle/effect3/RateLimited")(
  "RateLimited",
  retryFields(429)
) {
  readonly status = 429 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** 503: the server is busy or down. Nothing was done, and the credential is unchanged. Try again after `retryAfter`. */
export class Unavailable extends Schema.TaggedError<Unavailable>("@rekindle/effect3/Unavailable")(
  "Unavailable",
  retryFields(503)
) {
  readonly status = 503 as const
  readonly disposition = "rejected" as const satisfies Disposition
}

/** A policy of this process refused the call, and nothing was sent. Try again after `retryAfter`, or with fewer calls at once. */
export class RefusedLocally extends Schema.TaggedError<RefusedLocally>("@rekindle/effect3/RefusedLocally")(
  "RefusedLocally",
  {
    message: Schema.String,
    reason: Schema.Literal("circuit-open", "queue-full", "rate-limited"),
    /** How long until the policy lets a call through, if it is known. */
    retryAfter: optional(Schema.DurationFromMillis)
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
export class TransportError extends Schema.TaggedError<TransportError>("@rekindle/effect3/TransportError")(
  "TransportError",
  { message: Schema.String, reason: Schema.Literal("connect", "encode", "reset", "unknown") }
) {
  readonly disposition: Disposition = new Core.TransportError({ message: "", reason: this.reason }).disposition
}

/** The caller's deadline passed. If nothing was sent, try again with more time. Otherwise read the account first. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>("@rekindle/effect3/DeadlineExceeded")(
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
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>("@rekindle/effect3/UnexpectedResponse")(
  "UnexpectedResponse",
  {
    message: Schema.String,
    status: Schema.Number,
    /** The first characters of the body, for people. */
    excerpt: Schema.String
  }
) {
  readonly disposition: Disposition = new Core.UnexpectedResponse({ message: "", status: this.status, excerpt: "" })
    .disposition
}

/** Every failure of `refresh`. */
export type RefreshError =
  | InvalidRequest
  | Unauthorized
  | Forbidden
  | AccountNotFound
  | RefreshFailed
  | RefreshUnsupported
  | RateLimited
  | Unavailable
  | RefusedLocally
  | TransportError
  | DeadlineExceeded
  | UnexpectedResponse

/** Every failure of `get`: the same as those of `refresh`. A read changes nothing, so it may be sent again whatever the disposition. */
export type ReadError = RefreshError

const Status: Schema.Schema<ConnectedAccountStatus> = Schema.String

/** A person has to consent at `redirectUrl` before the account can be used. */
export class ConsentRequired extends Schema.TaggedError<ConsentRequired>("@rekindle/effect3/ConsentRequired")(
  "ConsentRequired",
  {
    accountId: ConnectedAccountId,
    redirectUrl: Schema.String,
    /** The account's status until the person consents. */
    status: Status
  }
) {
  override get message(): string {
    return `Account ${this.accountId} needs a person's consent`
  }
}

/** The account is not usable, and no consent is pending. `status` says why. */
export class ConnectionNotReady extends Schema.TaggedError<ConnectionNotReady>("@rekindle/effect3/ConnectionNotReady")(
  "ConnectionNotReady",
  { accountId: ConnectedAccountId, status: Status }
) {
  override get message(): string {
    return `Account ${this.accountId} is ${this.status}`
  }
}
