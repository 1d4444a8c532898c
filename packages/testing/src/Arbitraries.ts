/**
 * Arbitraries for every schema of core, and for schedules of faults, for `it.effect.prop` of `@effect/vitest` and `Arbitrary.checkEffect`.
 *
 * They are derived from the schemas and exclude only values that no server can send:
 * - A wait is whole milliseconds, up to a day.
 * - An account is created between 1970 and 2100, and is not updated before that.
 * - `NotReady` is never ACTIVE, because on the wire that is `Ready`.
 * - The status of an `UnexpectedResponse` is an HTTP status.
 *
 * Text is not restricted: it may be empty, `toString`, or hold lone surrogates.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { Arbitraries } from "@rekindle/testing"
 * import { Arbitrary, Effect } from "effect"
 *
 * const result = await Effect.runPromise(
 *   Arbitrary.checkEffect(Arbitraries.refreshError, (error) => error._tag !== "Unavailable" || error.disposition === "rejected")
 * )
 * assert.equal(result._tag, "Passed")
 * ```
 *
 * @module
 */
import {
  AnswerMatcher,
  AuthConfig,
  AuthScheme,
  ClientError,
  ConnectedAccount,
  ConnectedAccountId,
  ConnectedAccountStatus,
  ConnectionEventType,
  ConsentFailureReason,
  Disposition,
  ErrorEnvelope,
  KnownAuthScheme,
  KnownStatus,
  ProviderProfile,
  ReadError,
  RefreshError,
  type RefreshOptions,
  RefreshOutcome,
  RefreshRequest,
  RefreshResponse,
  Rotation,
  StatusError
} from "@rekindle/core"
import { Arbitrary, DateTime, Duration, Record, Schema, Struct } from "effect"
import type { Fault } from "./Faults.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const day = 86_400_000
const year2100 = Date.UTC(2100)

// Values derived from the schema's pattern would all have the first prefix and the shortest nanoid.
const letter = Arbitrary.schema(
  Schema.Literals(Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))
)

/** An id with either prefix and a nanoid of any length. */
export const connectedAccountId: Arbitrary.Arbitrary<ConnectedAccountId> = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(["ca", "con"])),
  Arbitrary.flatMap(int(8, 64), (length) => Arbitrary.array(letter, { minLength: length, maxLength: length }))
]).pipe(Arbitrary.map(([prefix, nanoid]) => ConnectedAccountId.make(`${prefix}_${nanoid.join("")}`)))

const withId = <A extends { readonly id: ConnectedAccountId }>(
  values: Arbitrary.Arbitrary<A>
): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(Arbitrary.all([values, connectedAccountId]), ([value, id]) => ({ ...value, id }))

/** One of the seven statuses of the contract. */
export const knownStatus: Arbitrary.Arbitrary<KnownStatus> = Arbitrary.schema(KnownStatus)

/** One of the seven statuses, or one that this version does not know. */
export const status: Arbitrary.Arbitrary<ConnectedAccountStatus> = Arbitrary.schema(ConnectedAccountStatus)

/** A scheme that the contract names. */
export const knownAuthScheme: Arbitrary.Arbitrary<KnownAuthScheme> = Arbitrary.schema(KnownAuthScheme)

/** A scheme of the contract, or a custom one. */
export const authScheme: Arbitrary.Arbitrary<AuthScheme> = Arbitrary.schema(AuthScheme)

/** The type of an event of a connection. */
export const connectionEventType: Arbitrary.Arbitrary<ConnectionEventType> = Arbitrary.schema(ConnectionEventType)

/** A {@link ConsentFailureReason}. */
export const consentFailureReason: Arbitrary.Arbitrary<ConsentFailureReason> = Arbitrary.schema(ConsentFailureReason)

/** How a provider's refresh tokens rotate. */
export const rotation: Arbitrary.Arbitrary<Rotation> = Arbitrary.schema(Rotation)

/** One form of an answer. */
export const answerMatcher: Arbitrary.Arbitrary<AnswerMatcher> = Arbitrary.schema(AnswerMatcher)

// Most durations that are derived from the schema are negative or endless, so that nearly all profiles would be discarded.
const span = Arbitrary.map(int(0, 1000 * day), Duration.millis)
const perhaps = <K extends string, A>(
  key: K,
  values: Arbitrary.Arbitrary<A>
): Arbitrary.Arbitrary<{ readonly [P in K]?: A }> =>
  Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), values]), ([isPresent, value]) =>
    isPresent ? Record.singleton(key, value) : {}
  )

/** A {@link ProviderProfile}. */
export const providerProfile: Arbitrary.Arbitrary<ProviderProfile> = Arbitrary.all([
  Arbitrary.schema(
    ProviderProfile.mapFields(
      Struct.omit(["accessTokenTtl", "margin", "minimumAge", "refreshTokenIdle", "refreshTokenLife", "reuseWindow"])
    )
  ),
  Arbitrary.all({ margin: span, minimumAge: span }),
  perhaps(
    "accessTokenTtl",
    Arbitrary.flatMap(Arbitrary.schema(Schema.Boolean), (isEndless): Arbitrary.Arbitrary<"never" | Duration.Duration> =>
      isEndless ? Arbitrary.Constant("never") : span
    )
  ),
  perhaps("refreshTokenIdle", span),
  perhaps("refreshTokenLife", span),
  perhaps("reuseWindow", span)
]).pipe(
  Arbitrary.map(([others, spans, ttl, idle, life, window]) => ({
    ...others,
    ...spans,
    ...ttl,
    ...idle,
    ...life,
    ...window
  }))
)

/** An auth config. An engine would refuse most of them: their settings belong to no scheme. */
export const authConfig: Arbitrary.Arbitrary<AuthConfig> = Arbitrary.all([
  Arbitrary.schema(AuthConfig.mapFields(Struct.omit(["profile"]))),
  providerProfile
]).pipe(Arbitrary.map(([config, profile]) => ({ ...config, profile })))

/** One of the three dispositions. */
export const disposition: Arbitrary.Arbitrary<Disposition> = Arbitrary.schema(Disposition)

/** An account created between 1970 and 2100, and not updated before that. */
export const connectedAccount: Arbitrary.Arbitrary<ConnectedAccount> = Arbitrary.all([
  withId(Arbitrary.schema(ConnectedAccount)),
  int(0, year2100),
  int(0, 1000 * day)
]).pipe(
  Arbitrary.map(([account, created, age]) => ({
    ...account,
    createdAt: DateTime.makeUnsafe(created),
    updatedAt: DateTime.makeUnsafe(created + age)
  }))
)

/** Each of the three outcomes. */
export const refreshOutcome: Arbitrary.Arbitrary<RefreshOutcome> = withId(Arbitrary.schema(RefreshOutcome)).pipe(
  Arbitrary.filter((outcome) => outcome._tag !== "NotReady" || outcome.status !== "ACTIVE")
)

/** The published body. */
export const refreshRequest: Arbitrary.Arbitrary<RefreshRequest> = Arbitrary.schema(RefreshRequest)

/** The published 200 body, as a server of this version writes it. */
export const refreshResponse: Arbitrary.Arbitrary<RefreshResponse> = withId(Arbitrary.schema(RefreshResponse))

/** An address to land on after consent. */
export const redirectUrl: Arbitrary.Arbitrary<string> = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(["http", "https"])),
  Arbitrary.array(letter, { maxLength: 64 })
]).pipe(Arbitrary.map(([scheme, path]) => `${scheme}://app.example.com/${path.join("")}`))

/** The published body, the idempotency key and the deadline. */
export const refreshOptions: Arbitrary.Arbitrary<RefreshOptions> = Arbitrary.all([
  refreshRequest,
  Arbitrary.schema(
    Schema.Struct({
      idempotencyKey: Schema.optionalKey(Schema.NonEmptyString),
      tokenRefused: Schema.optionalKey(Schema.Boolean)
    })
  ),
  Arbitrary.schema(
    Schema.Struct({
      deadline: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: year2100 })))
    })
  )
]).pipe(
  Arbitrary.map(([request, key, { deadline }]) => ({
    ...request,
    ...key,
    ...(deadline === undefined ? {} : { deadline: DateTime.makeUnsafe(deadline) })
  }))
)

/** The body of a failure. */
export const errorEnvelope: Arbitrary.Arbitrary<ErrorEnvelope> = Arbitrary.schema(ErrorEnvelope)

/** Statuses at which the disposition changes are generated more often. */
const httpStatus = Arbitrary.schema(
  Schema.Union([
    Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
    Schema.Literals([399, 400, 408, 409, 499, 500, 502, 504])
  ])
)

/** Derives errors, with waits and HTTP statuses that a server can send. */
const errors = <A, I extends object>(codec: Schema.Codec<A, I>): Arbitrary.Arbitrary<A> => {
  const encode = Schema.encodeSync(codec)
  const decode = Schema.decodeUnknownSync(codec)
  return Arbitrary.all([Arbitrary.schema(codec), int(0, day), httpStatus]).pipe(
    Arbitrary.map(([error, wait, status]) => {
      const fields = encode(error)
      return decode({
        ...fields,
        ...("retryAfter" in fields ? { retryAfter: wait } : {}),
        ...("timeout" in fields ? { timeout: wait } : {}),
        ...("status" in fields ? { status } : {})
      })
    })
  )
}

/** Every failure of `refresh`. */
export const refreshError: Arbitrary.Arbitrary<RefreshError> = errors(RefreshError)

/** Every failure of `get`. */
export const readError: Arbitrary.Arbitrary<ReadError> = errors(ReadError)

/** The failures that have a status in the contract. */
export const statusError: Arbitrary.Arbitrary<StatusError> = errors(StatusError)

/** The failures that only a client has. */
export const clientError: Arbitrary.Arbitrary<ClientError> = errors(ClientError)

const faultShape = Schema.TaggedUnion({
  None: {},
  Latency: {
    delay: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })),
    side: Schema.Literals(["request", "response"])
  },
  DropBeforeSend: {},
  DropAfterCommit: {},
  Garbage: { excerpt: Schema.String },
  Status: {
    status: Schema.Literals([400, 401, 403, 404, 408, 409, 429, 500, 501, 502, 503, 504]),
    retryAfter: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: day })))
  }
})

/** A fault of one call: delays up to a minute, the statuses that a refresh meets in practice, waits up to a day. */
export const fault: Arbitrary.Arbitrary<Fault> = Arbitrary.schema(faultShape).pipe(
  Arbitrary.map((shape): Fault => {
    switch (shape._tag) {
      case "Latency":
        return { ...shape, delay: Duration.millis(shape.delay) }
      case "Status": {
        const { retryAfter, ...rest } = shape
        return retryAfter === undefined ? rest : { ...rest, retryAfter: Duration.millis(retryAfter) }
      }
      default:
        return shape
    }
  })
)

/** A schedule for `Faults.schedule`. It shrinks towards few and simple faults. */
export const faultSchedule: Arbitrary.Arbitrary<ReadonlyArray<Fault>> = Arbitrary.array(fault, { maxLength: 20 })
