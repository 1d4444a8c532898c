/**
 * The data of core's `Connections` as JSON, for both ends of the wire.
 *
 * **Details**
 *
 * - An auth config is written under core's own names. Its durations are milliseconds.
 * - Everything else is written in the style of the published contract: `snake_case`, dates in ISO 8601, `null` for what there is not.
 * - What is about an account names it, so that a client notices the answer to another question.
 *
 * @module
 */
import {
  AuthConfig,
  AuthScheme,
  ConnectedAccountId,
  ConnectionEventType,
  ErrorEnvelope,
  KnownStatus,
  ProviderProfile
} from "@rekindle/core"
import { Schema, SchemaTransformation, Struct } from "effect"

/** The text of a whole number of milliseconds, as a header or a parameter has it. */
export const Milliseconds = Schema.String.check(
  Schema.isPattern(/^\d{1,15}$/u, { expected: "a whole number of milliseconds, from 0" })
).pipe(Schema.decodeTo(Schema.Int, SchemaTransformation.numberFromString))

const Secret = Schema.RedactedFromValue(Schema.String)
const Secrets = Schema.Record(Schema.String, Secret)

/** When something expires; `null` on the wire and `undefined` in core if it does not. */
const ExpiresAt = Schema.NullOr(Schema.DateTimeUtcFromString).pipe(
  Schema.decodeTo(
    Schema.UndefinedOr(Schema.DateTimeUtc),
    SchemaTransformation.transform({ decode: (date) => date ?? undefined, encode: (date) => date ?? null })
  )
)

const tagged = { _tag: "type" } as const

/** `CredentialInUse`. */
export const CredentialInUse = Schema.Union([
  Schema.TaggedStruct("AccessToken", {
    token: Secret,
    tokenType: Schema.Literals(["Bearer", "DPoP"]),
    dpopKey: Schema.optional(Secret),
    expiresAt: ExpiresAt
  }).pipe(Schema.encodeKeys({ ...tagged, tokenType: "token_type", dpopKey: "dpop_key", expiresAt: "expires_at" })),
  Schema.TaggedStruct("ApiKey", {
    key: Secret,
    placement: Schema.Union([
      Schema.Struct({ in: Schema.Literal("header"), name: Schema.String, prefix: Schema.String }),
      Schema.Struct({ in: Schema.Literal("query"), name: Schema.String })
    ])
  }).pipe(Schema.encodeKeys(tagged)),
  Schema.TaggedStruct("Basic", { username: Schema.String, password: Secret }).pipe(Schema.encodeKeys(tagged)),
  Schema.TaggedStruct("OAuth1", { consumerKey: Schema.String, token: Secret, tokenSecret: Secret }).pipe(
    Schema.encodeKeys({ ...tagged, consumerKey: "consumer_key", tokenSecret: "token_secret" })
  ),
  Schema.TaggedStruct("NoAuth", {}).pipe(Schema.encodeKeys(tagged)),
  Schema.TaggedStruct("Custom", { scheme: AuthScheme, secrets: Secrets }).pipe(Schema.encodeKeys(tagged))
])

/** `Authorization`. */
const authorization = { headers: Secrets, parameters: Secrets }

const ofAccount = { id: ConnectedAccountId }

/** The answer with a credential. `authorization` is what any request with it carries; `null` where each request is signed. */
export const CredentialAnswer = Schema.Struct({
  ...ofAccount,
  credential: CredentialInUse,
  authorization: Schema.NullOr(Schema.Struct(authorization))
}).pipe(Schema.annotate({ identifier: "Credential" }))

/** `RequestToAuthorize`. */
export const RequestToAuthorize = Schema.Struct({
  method: Schema.String,
  url: Schema.String,
  form: Schema.optional(Schema.Array(Schema.Tuple([Schema.String, Schema.String]))),
  dpopNonce: Schema.optional(Schema.String)
}).pipe(Schema.encodeKeys({ dpopNonce: "dpop_nonce" }), Schema.annotate({ identifier: "RequestToAuthorize" }))

/** The answer with what one request carries. */
export const AuthorizationAnswer = Schema.Struct({ ...ofAccount, ...authorization }).pipe(
  Schema.annotate({ identifier: "Authorization" })
)

/** `NewAccount`, without its id, which is in the path. */
export const NewAccount = Schema.Struct({
  authConfigId: Schema.String,
  userId: Schema.String,
  secrets: Schema.optional(Secrets),
  attributes: Schema.optional(Schema.Record(Schema.String, Schema.Json)),
  expiresAt: Schema.optional(Schema.DateTimeUtcFromString),
  alias: Schema.optional(Schema.String)
}).pipe(
  Schema.encodeKeys({ authConfigId: "auth_config_id", userId: "user_id", expiresAt: "expires_at" }),
  Schema.annotate({ identifier: "NewAccount" })
)

const SecretChanges = Schema.Record(Schema.String, Schema.NullOr(Secret))

/** `AccountChanges`. */
export const AccountChanges = Schema.Struct({
  alias: Schema.optional(Schema.NullOr(Schema.String)),
  attributes: Schema.optional(Schema.Record(Schema.String, Schema.Json)),
  secrets: Schema.optional(SecretChanges)
}).pipe(Schema.annotate({ identifier: "AccountChanges" }))

/** A credential that the application brings. */
export const BroughtCredential = Schema.Struct({ secrets: Secrets }).pipe(
  Schema.annotate({ identifier: "BroughtCredential" })
)

/** `Withdrawn`. */
export const WithdrawnAnswer = Schema.Struct({
  ...ofAccount,
  withdrawn: Schema.Literals(["pending", "confirmed", "unsupported"]),
  answer: Schema.NullOr(Schema.String)
}).pipe(Schema.annotate({ identifier: "Withdrawn" }))

/** `LinkOptions`. The service checks the `redirect_url`. */
export const LinkOptions = Schema.Struct({
  redirectUrl: Schema.optional(Schema.String),
  session: Schema.optional(Schema.String),
  allowAnotherIdentity: Schema.optional(Schema.Boolean)
}).pipe(
  Schema.encodeKeys({ redirectUrl: "redirect_url", allowAnotherIdentity: "allow_another_identity" }),
  Schema.annotate({ identifier: "LinkOptions" })
)

/** `Link`. */
export const LinkAnswer = Schema.Struct({
  ...ofAccount,
  url: Schema.String,
  openUntil: Schema.DateTimeUtcFromString,
  status: KnownStatus
}).pipe(Schema.encodeKeys({ openUntil: "open_until" }), Schema.annotate({ identifier: "Link" }))

const configFields = Struct.omit(AuthConfig.fields, ["id", "projectId"])

/** A provider's profile. What core has a default for may be left out. */
const Profile = Schema.Struct({
  ...ProviderProfile.fields,
  ...Struct.map(
    Struct.pick(ProviderProfile.fields, [
      "deadToken",
      "transient",
      "tokenTypes",
      "margin",
      "minimumAge",
      "requestsPerSecond"
    ]),
    Schema.optionalKey
  )
}).pipe(Schema.annotate({ identifier: "ProviderProfile" }))

/** An auth config to register. The id is in the path, and the project is that of the key. What core has a default for may be left out. */
export const ConfigToRegister = Schema.Struct({
  ...configFields,
  profile: Schema.optionalKey(Profile),
  settings: Schema.optionalKey(configFields.settings),
  secrets: Schema.optionalKey(configFields.secrets)
}).pipe(Schema.annotate({ identifier: "AuthConfigToRegister" }))

/** `AuthConfigChanges`. */
export const ConfigChanges = Schema.Struct({
  name: Schema.optional(Schema.NullOr(Schema.String)),
  settings: Schema.optional(configFields.settings),
  secrets: Schema.optional(SecretChanges),
  profile: Schema.optional(Profile),
  hosts: Schema.optional(configFields.hosts),
  apiHosts: Schema.optional(Schema.NullOr(configFields.hosts)),
  allowAnotherIdentity: Schema.optional(Schema.Boolean)
}).pipe(Schema.annotate({ identifier: "AuthConfigChanges" }))

/** `RegisteredAuthConfig`. */
export const RegisteredAuthConfig = Schema.Struct({
  id: AuthConfig.fields.id,
  ...Struct.omit(configFields, ["secrets"]),
  secretNames: Schema.Array(Schema.String),
  isDisabled: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString
}).pipe(Schema.annotate({ identifier: "RegisteredAuthConfig" }))

/** A page of auth configs, and how many there are on all pages. */
export const ConfigPage = Schema.Struct({
  items: Schema.Array(RegisteredAuthConfig),
  next_cursor: Schema.NullOr(Schema.String),
  total_items: Schema.Int
})

/** `ConnectionEvent`. */
export const ConnectionEvent = Schema.Struct({
  sequence: Schema.Int,
  accountId: ConnectedAccountId,
  type: ConnectionEventType,
  status: Schema.String,
  statusReason: Schema.NullOr(Schema.String),
  at: Schema.DateTimeUtcFromString
}).pipe(
  Schema.encodeKeys({ accountId: "connected_account_id", statusReason: "status_reason" }),
  Schema.annotate({ identifier: "ConnectionEvent" })
)

/** The body of a failure with the account that it is about: `ConnectionNotReady`. */
export const NotReadyEnvelope = Schema.Struct({
  error: ErrorEnvelope.fields.error,
  connected_account: Schema.Struct({ id: Schema.String, status: Schema.String })
}).pipe(Schema.annotate({ identifier: "ConnectionNotReadyEnvelope" }))

/** The body of a failure with the events that are deleted: `EventsMissed`. */
export const EventsMissedEnvelope = Schema.Struct({
  error: ErrorEnvelope.fields.error,
  events: Schema.Struct({ after: Schema.Int, through: Schema.Int })
}).pipe(Schema.annotate({ identifier: "EventsMissedEnvelope" }))
