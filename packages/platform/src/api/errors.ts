/**
 * Core's errors as the endpoints answer them: the envelope, with the status of the error and, for a busy server, `Retry-After`.
 *
 * @module
 */
import {
  AccountNotFound,
  ConnectionNotReady,
  ErrorEnvelope,
  EventsMissed,
  Forbidden,
  InvalidRequest,
  RateLimited,
  RefreshFailed,
  RefreshUnsupported,
  Unauthorized,
  Unavailable
} from "@rekindle/core"
import { Duration, Effect, Schema, SchemaTransformation } from "effect"
import { HttpApiSchema } from "effect/http-api"
import { type EnvelopeFields, envelopeOf, fieldsOf } from "../internal/envelope.ts"
import { EventsMissedEnvelope, NotReadyEnvelope } from "../internal/wire.ts"

/** Encodes an error as its envelope. `tag` and `status` are those of the error's class. `description` is for the docs page. */
const onWire = <T, const Tag extends string>(
  error: Schema.Codec<T, EnvelopeFields & { readonly _tag: Tag }>,
  tag: Tag,
  status: number,
  description: string
): Schema.Codec<T, typeof ErrorEnvelope.Encoded> =>
  error.pipe(
    Schema.encodeTo(
      ErrorEnvelope,
      SchemaTransformation.transform({
        decode: (envelope: ErrorEnvelope) => ({ _tag: tag, ...fieldsOf(envelope) }),
        encode: (fields: EnvelopeFields) => envelopeOf(status, fields)
      })
    ),
    Schema.annotate({ description })
  )

const retryAfterHeader = { "retry-after": Schema.optionalKey(Schema.Int) }

/** Rounded up, so that nobody comes back too early. The cap keeps the header an integer. */
const retryAfterOf = (error: RateLimited | Unavailable): { readonly "retry-after"?: number } =>
  error.retryAfter === undefined
    ? {}
    : { "retry-after": Math.min(Math.ceil(Duration.toSeconds(error.retryAfter)), Number.MAX_SAFE_INTEGER) }

const withRetryAfter = (envelope: ErrorEnvelope, headers: { readonly "retry-after"?: number | undefined }) => {
  const seconds = headers["retry-after"]
  return { ...fieldsOf(envelope), ...(seconds !== undefined && { retryAfter: Duration.seconds(Math.max(0, seconds)) }) }
}

/** `InvalidRequest` as the answer of an endpoint: 400. */
export const invalidRequest = onWire(
  InvalidRequest,
  "InvalidRequest",
  400,
  "Malformed id or body, or the account cannot be refreshed in its state; the slug tells which"
)
/** `Unauthorized` as the answer of an endpoint: 401. */
export const unauthorized = onWire(Unauthorized, "Unauthorized", 401, "The API key is missing or unknown")
/** `Forbidden` as the answer of an endpoint: 403. */
export const forbidden = onWire(Forbidden, "Forbidden", 403, "The API key may not do this")
/** `AccountNotFound` as the answer of an endpoint: 404. */
export const accountNotFound = onWire(
  AccountNotFound,
  "AccountNotFound",
  404,
  "The account is unknown, removed, or belongs to another project"
)
/** `RefreshFailed` as the answer of an endpoint: 500. */
export const refreshFailed = onWire(
  RefreshFailed,
  "RefreshFailed",
  500,
  "The refresh failed on the server; read the account before trying again"
)
/** `RefreshUnsupported` as the answer of an endpoint: 501. */
export const refreshUnsupported = onWire(
  RefreshUnsupported,
  "RefreshUnsupported",
  501,
  "The account's scheme has nothing to refresh"
)

/** `RateLimited` as the answer of an endpoint: 429, with `Retry-After`. */
export const rateLimited = RateLimited.pipe(
  HttpApiSchema.encodeToWithHeaders(
    { body: ErrorEnvelope.pipe(HttpApiSchema.status(429)), headers: retryAfterHeader },
    {
      decode: ({ body, headers }) => new RateLimited(withRetryAfter(body, headers)),
      encode: (error) => ({ body: envelopeOf(429, error), headers: retryAfterOf(error) })
    }
  ),
  Schema.annotate({ description: "Too many requests; nothing was done" })
)

/** `Unavailable` as the answer of an endpoint: 503, with `Retry-After`. */
export const unavailable = Unavailable.pipe(
  HttpApiSchema.encodeToWithHeaders(
    { body: ErrorEnvelope.pipe(HttpApiSchema.status(503)), headers: retryAfterHeader },
    {
      decode: ({ body, headers }) => new Unavailable(withRetryAfter(body, headers)),
      encode: (error) => ({ body: envelopeOf(503, error), headers: retryAfterOf(error) })
    }
  ),
  Schema.annotate({ description: "Busy or down; nothing was done, and the credential is unchanged" })
)

/** The failures of an endpoint about an account. */
export const accountErrors = [
  invalidRequest,
  accountNotFound,
  rateLimited,
  refreshFailed,
  refreshUnsupported,
  unavailable
] as const

/** 409: the account has no credential that could be withdrawn. */
export class NotRevocable extends Schema.TaggedError<NotRevocable>("@rekindle/platform/NotRevocable")(
  "NotRevocable",
  {
    message: Schema.String,
    code: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(40_900))),
    slug: Schema.optionalKey(Schema.String),
    requestId: Schema.optionalKey(Schema.String),
    suggestedFix: Schema.optionalKey(Schema.String),
    errors: Schema.optionalKey(Schema.Array(Schema.String))
  },
  { httpApiStatus: 409 }
) {}

/** `NotRevocable` as the answer of an endpoint. */
export const notRevocable = onWire(
  NotRevocable,
  "NotRevocable",
  409,
  "The account has no credential that could be withdrawn"
)

/** `ConnectionNotReady` as the answer of an endpoint: 409, with the account and its status beside the envelope. */
export const connectionNotReady = ConnectionNotReady.pipe(
  Schema.encodeTo(
    NotReadyEnvelope,
    SchemaTransformation.transform({
      decode: ({ connected_account: { id, status } }) => ({
        _tag: "ConnectionNotReady" as const,
        accountId: id,
        status
      }),
      encode: ({ accountId, status }) => ({
        ...envelopeOf(409, {
          message: `Account ${accountId} is ${status}`,
          code: 40900,
          slug: "connection_not_ready",
          suggestedFix: "Refresh the account, and show the link if a person has to consent"
        }),
        connected_account: { id: accountId, status }
      })
    })
  ),
  HttpApiSchema.status(409),
  Schema.annotate({ description: "The account has no usable credential, and no consent was started" })
)

/** `EventsMissed` as the answer of an endpoint: 410, with the range beside the envelope. */
export const eventsMissed = EventsMissed.pipe(
  Schema.encodeTo(
    EventsMissedEnvelope,
    SchemaTransformation.transform({
      decode: ({ error, events }) => ({ _tag: "EventsMissed" as const, message: error.message, ...events }),
      encode: ({ after, message, through }) => ({
        ...envelopeOf(410, {
          message,
          code: 41000,
          slug: "events_missed",
          suggestedFix: "Read the accounts anew, then resume after `events.through`"
        }),
        events: { after, through }
      })
    })
  ),
  HttpApiSchema.status(410),
  Schema.annotate({ description: "Events after the given sequence are deleted" })
)
