/**
 * The token behaviour of a provider, which must be known before one of its refresh tokens is spent: rotation, lifetimes, and the answer for a
 * dead token. A profile is plain data, so it can be stored, compared and overridden field by field.
 *
 * @module
 */
import * as Expected from "./Expected.ts"
import { Duration, Effect, Schema } from "effect"

/**
 * What a refresh does to the refresh token.
 *
 * - `none`: the token stays the same and may be sent again.
 * - `rolling`: each refresh returns a new token, and the old one keeps working.
 * - `single-use`: the refresh invalidates the token. A second use may revoke the whole grant (RFC 9700 §4.14.2).
 */
export const Rotation = Schema.Literals(["none", "rolling", "single-use"])
export type Rotation = typeof Rotation.Type

/**
 * Matches an answer with this status (any, if absent) whose body has, at the dotted path `field`, a string that is one of `values` or contains
 * one of `contains` (any string, if both are absent). Without `field`, the status alone decides.
 */
export const AnswerMatcher = Schema.Struct({
  status: Schema.optionalKey(Schema.Int),
  field: Schema.optionalKey(Schema.String),
  values: Schema.optionalKey(Schema.Array(Schema.String)),
  contains: Schema.optionalKey(Schema.Array(Schema.String))
})
export type AnswerMatcher = typeof AnswerMatcher.Type

/** A length of time. A negative or endless one is a mistake, and would otherwise show as tokens that are renewed always or never. */
const Span = Schema.DurationFromMillis.check(
  Schema.makeFilter((duration) => Duration.isFinite(duration) && !Duration.isNegative(duration), {
    expected: "a finite duration, from 0"
  })
)

/** A provider's token behaviour. Durations are stored as milliseconds. */
export const ProviderProfile = Schema.Struct({
  /** The name in logs and metrics. All auth configs with the same name share the provider's limits. */
  name: Schema.String,
  /** What a refresh does to the refresh token: `none`, `rolling` or `single-use`. */
  rotation: Rotation,
  /** How long the provider still accepts a used refresh token. Absent: not at all. */
  reuseWindow: Schema.optionalKey(Span),
  /**
   * How long an access token lives if neither its answer nor an earlier one of the account has `expires_in` (optional in RFC 6749 §5.1).
   * `"never"`: it does not expire; use it if the provider states the life of every token that expires. Absent: unknown, so one hour is assumed,
   * with a warning. A token without a refresh token counts as dead after this time.
   */
  accessTokenTtl: Schema.optionalKey(Schema.Union([Schema.Literal("never"), Span])),
  /**
   * The dotted path of the field that states when the access token expires, if the answer has no `expires_in`. It starts at the tokens or at
   * the top of the body. The value is a date (ISO 8601), or seconds or milliseconds since 1970.
   */
  expiresAtField: Schema.optionalKey(Schema.String),
  /** How long an unused refresh token lives. */
  refreshTokenIdle: Schema.optionalKey(Span),
  /** How long a refresh token lives after consent. No refresh prolongs it, so an application can warn people in time. */
  refreshTokenLife: Schema.optionalKey(Span),
  /** Answers for a dead token, besides RFC 6749's `invalid_grant`. */
  deadToken: Schema.Array(AnswerMatcher).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** Answers for a transient fault, whatever their error code. They are matched first, because to declare a live token dead is the costly mistake. */
  transient: Schema.Array(AnswerMatcher).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** Usable values of `token_type`, in lower case. An absent one counts as `bearer`. */
  tokenTypes: Schema.Array(Schema.String).pipe(Schema.withConstructorDefault(Effect.succeed(["bearer", "dpop"]))),
  /** The dotted path of the tokens in the body. Absent: the top. */
  tokenPath: Schema.optionalKey(Schema.String),
  /**
   * Dotted paths of fields in the token answer that are needed to use the token, such as the address of a customer's own API. They become
   * attributes of the account under these names. An answer without one of them leaves the attribute unchanged.
   */
  keptFields: Schema.optionalKey(Schema.Array(Schema.String)),
  /**
   * Attributes that identify the account in addition to the subject of its id token, such as a workspace or a company. A consent with other
   * values is refused, unless the auth config allows another identity.
   */
  identifiedBy: Schema.optionalKey(Schema.Array(Schema.String)),
  /** How long before its expiry a token is renewed, at most half of its life. Default 5 minutes. */
  margin: Span.pipe(Schema.withConstructorDefault(Effect.succeed(Duration.minutes(5)))),
  /** The shortest time between two renewals of one account. Within it, a refresh returns the present token. Default zero. */
  minimumAge: Span.pipe(Schema.withConstructorDefault(Effect.succeed(Duration.zero))),
  /** Renewals per second that the renewer of one process starts for all accounts of this provider. Callers are not limited. Default 20. */
  requestsPerSecond: Schema.Finite.check(Schema.isGreaterThan(0, { expected: "a number above 0" })).pipe(
    Schema.withConstructorDefault(Effect.succeed(20))
  )
}).pipe(Expected.sayExpected("ProviderProfile", { unknownFields: "refused" }))
export type ProviderProfile = typeof ProviderProfile.Type

/** The cautious default by RFC 6749: single-use refresh tokens without a reuse window, and access tokens that live for one hour. */
export const strict: ProviderProfile = ProviderProfile.make({
  name: "strict",
  rotation: "single-use",
  accessTokenTtl: Duration.hours(1)
})
