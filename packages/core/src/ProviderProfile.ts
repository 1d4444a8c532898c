/**
 * What must be known about a provider before one of its refresh tokens may be spent: how it rotates, how long its tokens live, what
 * its dead tokens look like. Everything here is data, so a profile can be stored, compared and overridden field by field.
 *
 * @module
 */
import * as Expected from "./Expected.ts"
import { Duration, Effect, Schema } from "effect"

/**
 * What happens to a refresh token when it is used.
 *
 * - `none`: it stays the same and may be sent again.
 * - `rolling`: each use gives a new one, the old one keeps working for a while of its own.
 * - `single-use`: the use kills it; a second use may revoke the whole grant (RFC 9700 §4.14.2).
 */
export const Rotation = Schema.Literals(["none", "rolling", "single-use"])
export type Rotation = typeof Rotation.Type

/**
 * Recognises one form of an answer: this status (any, if absent), in whose body the string at the dotted `field` is one of `values` or
 * contains one of `contains` (any string, if both are absent). With `field` absent the status alone decides.
 */
export const AnswerMatcher = Schema.Struct({
  status: Schema.optionalKey(Schema.Int),
  field: Schema.optionalKey(Schema.String),
  values: Schema.optionalKey(Schema.Array(Schema.String)),
  contains: Schema.optionalKey(Schema.Array(Schema.String))
})
export type AnswerMatcher = typeof AnswerMatcher.Type

/** A provider's token behaviour. Durations are stored as milliseconds. */
export const ProviderProfile = Schema.Struct({
  /** A name for people, metrics and the per-provider limits: every auth config with the same name shares them. */
  name: Schema.String,
  rotation: Rotation,
  /** For how long a used refresh token may be sent again and still be honoured. Absent: not at all. */
  reuseWindow: Schema.optionalKey(Schema.DurationFromMillis),
  /**
   * How long an access token lives when neither its answer nor an earlier one of the account has `expires_in` (RFC 6749 §5.1 makes it
   * optional). `"never"`: it does not expire, as where a provider states the life of every token that does. Absent: unknown; an hour is
   * assumed, with a warning. A token without a refresh token beside it is taken for dead after this.
   */
  accessTokenTtl: Schema.optionalKey(Schema.Union([Schema.Literal("never"), Schema.DurationFromMillis])),
  /**
   * The field that states when the access token expires, where the answer has no `expires_in`: a dotted path, from the tokens or from the
   * top. Its value is a date (ISO 8601), or seconds or milliseconds since 1970.
   */
  expiresAtField: Schema.optionalKey(Schema.String),
  /** A refresh token unused for this long dies. */
  refreshTokenIdle: Schema.optionalKey(Schema.DurationFromMillis),
  /** A refresh token dies this long after consent, whatever is done. Nothing prolongs it; it is here for whoever warns people in time. */
  refreshTokenLife: Schema.optionalKey(Schema.DurationFromMillis),
  /** Forms of a dead token besides RFC 6749's `invalid_grant`, which always counts. */
  deadToken: Schema.Array(AnswerMatcher).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** Forms of a passing fault, whatever error code they carry. Looked at first, because the mistake that costs is to call a token dead. */
  transient: Schema.Array(AnswerMatcher).pipe(Schema.withConstructorDefault(Effect.succeed([]))),
  /** Values of `token_type` that are usable, in lower case; an absent one counts as `bearer`. */
  tokenTypes: Schema.Array(Schema.String).pipe(Schema.withConstructorDefault(Effect.succeed(["bearer", "dpop"]))),
  /** Where the tokens stand in the body, as a dotted path; absent: at the top. */
  tokenPath: Schema.optionalKey(Schema.String),
  /**
   * Fields of the token answer, as dotted paths, without which the token is of no use, such as the address of a customer's own API. They
   * become attributes of the account under these names, and an answer that leaves one out changes nothing.
   */
  keptFields: Schema.optionalKey(Schema.Array(Schema.String)),
  /**
   * Attributes of the account that say whose it is besides the subject of the id token: a workspace, a company. A consent that leads to
   * other ones is refused, unless the auth config allows another identity.
   */
  identifiedBy: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Renew this long before expiry; never more than half the token's life is used. */
  margin: Schema.DurationFromMillis.pipe(Schema.withConstructorDefault(Effect.succeed(Duration.minutes(5)))),
  /** Two renewals of one account are at least this far apart; sooner, the fresh token is served again. */
  minimumAge: Schema.DurationFromMillis.pipe(Schema.withConstructorDefault(Effect.succeed(Duration.zero))),
  /** Renewals a second that the renewer begins in one process, for all accounts of this provider together. Callers are not held back. */
  requestsPerSecond: Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(20)))
}).pipe(Expected.sayExpected("ProviderProfile", { unknownFields: "refused" }))
export type ProviderProfile = typeof ProviderProfile.Type

/** Follows RFC 6749 and assumes the worst: single-use refresh tokens without a reuse window, and a lifetime of an hour. */
export const strict: ProviderProfile = ProviderProfile.make({
  name: "strict",
  rotation: "single-use",
  accessTokenTtl: Duration.hours(1)
})
