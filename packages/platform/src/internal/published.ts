/**
 * Encodes an account in the form of each version of the contract.
 *
 * The forms are stricter than core's `ConnectedAccount`. `state.val` repeats the status and requires fields that depend on it. Two blocks, `data`
 * and `params`, exist for clients of older versions. A required field that the account does not show is masked.
 *
 * @module
 */
import { AuthScheme, ConnectedAccount, ConnectedAccountId, ConnectedAccountStatus, KnownStatus } from "@rekindle/core"
import { Effect, Schema } from "effect"
import type { ApiVersion } from "../RekindleApi.ts"

const AnyRecord = Schema.Record(Schema.String, Schema.Json)

const described = <S extends Schema.Top>(schema: S, description: string) =>
  schema.pipe(Schema.annotate({ description }))

const accountFields = {
  id: ConnectedAccountId,
  status: described(ConnectedAccountStatus, "The status of the connection"),
  status_reason: described(Schema.NullOr(Schema.String), "Why the connection has its status, or null"),
  toolkit: Schema.Struct({ slug: described(Schema.String, "The slug of the toolkit") }),
  auth_config: Schema.Struct({
    id: described(Schema.String, "The id of the auth config"),
    auth_scheme: described(AuthScheme, "The same as state.authScheme"),
    is_composio_managed: described(Schema.Boolean, "Whether the auth config is managed by the hosted service"),
    is_disabled: described(Schema.Boolean, "Whether the auth config is disabled")
  }),
  user_id: described(Schema.String, "The user whose connection it is"),
  is_disabled: described(Schema.Boolean, "Whether the connection is disabled"),
  created_at: described(Schema.String, "When the connection was created, in ISO 8601"),
  updated_at: described(Schema.String, "When the connection was last changed, in ISO 8601"),
  state: Schema.Struct({
    authScheme: AuthScheme,
    val: described(
      Schema.StructWithRest(Schema.Struct({ status: ConnectedAccountStatus }), [AnyRecord]),
      "The fields of the credential, every secret masked"
    )
  }),
  data: described(AnyRecord, "The same as state.val, for clients of older versions"),
  params: described(AnyRecord, "Empty, for clients of older versions")
}

/** An account on the wire, for the OpenAPI document and generated clients. */
export const PublishedAccount = Schema.Struct(accountFields).pipe(Schema.annotate({ identifier: "ConnectedAccount" }))

/** The same in v3.1. */
export const LaterPublishedAccount = Schema.Struct({
  ...accountFields,
  word_id: described(Schema.NullOr(Schema.String), "A name of one or two words that the server gave the connection"),
  alias: described(Schema.NullOr(Schema.String), "A name that a person gave the connection")
}).pipe(Schema.annotate({ identifier: "ConnectedAccountV31" }))

const mask = "********"

type Forms = Partial<Record<KnownStatus, ReadonlyArray<string>>>

/** The forms that every scheme has. `fields` are those of a credential, in service or not. */
const withFields = (...fields: ReadonlyArray<string>) => ({
  INITIALIZING: [],
  INITIATED: [],
  ACTIVE: fields,
  INACTIVE: fields
})

/** The two further forms of schemes whose consent or credential can end by itself. */
const ending = { FAILED: [], EXPIRED: [] }

/** The fields that each form of `state.val` requires, by scheme and status. A status that is not here has no form. */
const forms: Readonly<Record<string, Forms>> = {
  OAUTH2: { ...withFields("access_token"), ...ending, INITIATED: ["redirectUrl"] },
  OAUTH1: {
    ...withFields("oauth_token", "oauth_token_secret"),
    ...ending,
    INITIATED: ["oauth_token", "oauth_token_secret", "authUri", "redirectUrl"]
  },
  S2S_OAUTH2: { ...withFields("access_token"), ...ending },
  DCR_OAUTH: { ...withFields("client_id", "access_token"), ...ending, INITIATED: ["client_id", "redirectUrl"] },
  API_KEY: withFields(),
  BEARER_TOKEN: withFields("token"),
  BASIC: withFields("username"),
  BASIC_WITH_JWT: {
    ...withFields("username", "password"),
    FAILED: ["username", "password"],
    EXPIRED: ["username", "password"]
  },
  GOOGLE_SERVICE_ACCOUNT: { ...withFields("credentials_json"), INITIATED: ["redirectUrl"] },
  BILLCOM_AUTH: { ...withFields("sessionId", "devKey"), ...ending, INITIATED: ["redirectUrl"] },
  SERVICE_ACCOUNT: withFields("application_id", "installation_id", "private_key"),
  NO_AUTH: { ...withFields(), ...ending },
  CALCOM_AUTH: { ...withFields(), ...ending },
  SAML: { ...withFields(), ...ending }
}

const isKnownStatus = Schema.is(KnownStatus)

/** The form of a status. A status without one has the form of an expired credential, or of one out of service. */
const formOf = (scheme: string, status: string, version: ApiVersion): readonly [string, ReadonlyArray<string>] => {
  const byStatus = forms[scheme]
  if (byStatus === undefined || !isKnownStatus(status)) return [status, []]
  if (status === "REVOKED" && scheme === "OAUTH2" && version === "v3.1") return [status, []]
  for (const candidate of [status, "EXPIRED", "INACTIVE"] as const) {
    const fields = byStatus[candidate]
    if (fields !== undefined) return [candidate, fields]
  }
  return [status, []]
}

const encode = Schema.encodeEffect(ConnectedAccount)

/** Encodes `account` for `version`. Dies if the account is invalid. */
export const published = (account: ConnectedAccount, version: ApiVersion) =>
  Effect.map(Effect.orDie(encode(account)), ({ alias = null, auth_config, state, word_id = null, ...rest }) => {
    const [status, fields] = formOf(state.authScheme, rest.status, version)
    const masked = Object.fromEntries(fields.map((field) => [field, mask]))
    const val = { ...masked, ...state.val, status }
    return {
      ...rest,
      ...(version === "v3.1" && { alias, word_id }),
      auth_config: {
        is_composio_managed: false,
        is_disabled: false,
        ...auth_config,
        auth_scheme: state.authScheme
      },
      state: { ...state, val },
      data: val,
      params: {}
    }
  })
