/**
 * A connected account: one user's connection to one third-party service, as the published contract shows it.
 *
 * **Gotchas**
 *
 * - Status and auth scheme are open sets when decoded. A newer server may send a value that this library does not know. It decodes to a
 *   branded unknown and does not fail, so that a poller does not crash.
 * - The model holds no secrets: `state` holds masked values only.
 *
 * @module
 */
import { Schema } from "effect"
import { sayExpected } from "./Expected.ts"

/**
 * Identifies a connected account: a prefix (`con_` or `ca_`), then a URL-safe nanoid, e.g. `con_1a2b3c4d5e6f` or `ca_-l3FzWqTw58L`.
 *
 * A string of another form is refused before it reaches a network or a database.
 */
export const ConnectedAccountId = Schema.String.check(
  Schema.isPattern(/^(?:con|ca)_[A-Za-z0-9_-]{8,64}$/u, {
    expected: "a connected account id such as ca_4CkFF_cKATwg (con_ or ca_, then 8 to 64 letters, digits, - or _)"
  })
).pipe(
  Schema.brand("ConnectedAccountId"),
  Schema.annotate({
    identifier: "ConnectedAccountId",
    title: "connected account id",
    description: "Prefix con_ or ca_, then a URL-safe nanoid"
  }),
  sayExpected("ConnectedAccountId")
)
export type ConnectedAccountId = typeof ConnectedAccountId.Type

/** The seven statuses of the contract, in the order an account usually meets them. */
export const KnownStatus = Schema.Literals([
  "INITIALIZING",
  "INITIATED",
  "ACTIVE",
  "FAILED",
  "EXPIRED",
  "INACTIVE",
  "REVOKED"
])
export type KnownStatus = typeof KnownStatus.Type

/** A status that this version of the library does not know. Treat it as neither usable nor terminal: keep polling, or ask a person. */
export const UnknownStatus = Schema.String.pipe(Schema.brand("UnknownStatus"))
export type UnknownStatus = typeof UnknownStatus.Type

/** A status as decoded from a server: one of the seven, or a later addition. */
export const ConnectedAccountStatus = Schema.Union([KnownStatus, UnknownStatus])
export type ConnectedAccountStatus = typeof ConnectedAccountStatus.Type

/** The authentication schemes of the contract. The engine keeps the first eight alive. */
export const KnownAuthScheme = Schema.Literals([
  "OAUTH2",
  "S2S_OAUTH2",
  "OAUTH1",
  "API_KEY",
  "BEARER_TOKEN",
  "BASIC",
  "BASIC_WITH_JWT",
  "GOOGLE_SERVICE_ACCOUNT",
  "NO_AUTH",
  "BILLCOM_AUTH",
  "CALCOM_AUTH",
  "DCR_OAUTH",
  "SAML"
])
export type KnownAuthScheme = typeof KnownAuthScheme.Type

/** A scheme that the contract does not name: a user's own, or one of a newer server. */
export const CustomAuthScheme = Schema.String.pipe(Schema.brand("CustomAuthScheme"))
export type CustomAuthScheme = typeof CustomAuthScheme.Type

/** A scheme as decoded from a server or registered by a user. The set is open, because users add schemes of their own. */
export const AuthScheme = Schema.Union([KnownAuthScheme, CustomAuthScheme])
export type AuthScheme = typeof AuthScheme.Type

/**
 * A connected account as `GET /connected_accounts/{nanoid}` answers it.
 *
 * `state.val` shows which credential fields exist, with every secret masked. It is meant for people, not for programs.
 *
 * Optional fields are missing from some servers. The published contract plans to drop `user_id`. Its older version has neither alias nor
 * word id. An engine of your own has no managed auth configs.
 */
export const ConnectedAccount = Schema.Struct({
  id: ConnectedAccountId,
  status: ConnectedAccountStatus,
  statusReason: Schema.NullOr(Schema.String),
  toolkit: Schema.Struct({ slug: Schema.String }),
  authConfig: Schema.Struct({
    id: Schema.String,
    /** Whether the hosted service, and not the application, registered the OAuth client at the provider. */
    isManaged: Schema.optionalKey(Schema.Boolean),
    isDisabled: Schema.optionalKey(Schema.Boolean)
  }).pipe(Schema.encodeKeys({ isManaged: "is_composio_managed", isDisabled: "is_disabled" })),
  userId: Schema.optionalKey(Schema.String),
  isDisabled: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
  state: Schema.Struct({
    authScheme: AuthScheme,
    val: Schema.Record(Schema.String, Schema.Json)
  }),
  /** A name that a person gave the account. */
  alias: Schema.optionalKey(Schema.NullOr(Schema.String)),
  /** A name of one or two words that the server gave the account. */
  wordId: Schema.optionalKey(Schema.NullOr(Schema.String))
}).pipe(
  Schema.encodeKeys({
    statusReason: "status_reason",
    authConfig: "auth_config",
    userId: "user_id",
    isDisabled: "is_disabled",
    createdAt: "created_at",
    updatedAt: "updated_at",
    wordId: "word_id"
  }),
  sayExpected("ConnectedAccount")
)
export type ConnectedAccount = typeof ConnectedAccount.Type
