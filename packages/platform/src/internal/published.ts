/**
 * An account in the form that each version of the contract publishes.
 *
 * The forms are stricter than what a provider of `ConnectedAccounts` has to know: `state.val` repeats the status and has fields that
 * depend on it, and two blocks, `data` and `params`, are there for clients of older versions. What is required and not shown is masked,
 * as every secret is.
 *
 * @module
 */
import { ConnectedAccount, KnownStatus } from "@rekindle/core"
import { Effect, Schema } from "effect"
import type { ApiVersion } from "../RekindleApi.ts"

const mask = "********"

type Forms = Partial<Record<KnownStatus, ReadonlyArray<string>>>

/** Every scheme has these four. The fields are those of a credential in or out of service. */
const withFields = (...fields: ReadonlyArray<string>) => ({
  INITIALIZING: [],
  INITIATED: [],
  ACTIVE: fields,
  INACTIVE: fields
})

/** And these two, where there is something that ends by itself. */
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
  NO_AUTH: { ...withFields(), ...ending },
  CALCOM_AUTH: { ...withFields(), ...ending },
  SAML: { ...withFields(), ...ending }
}

const isKnownStatus = Schema.is(KnownStatus)

/** The form for a status; where it has none, that of a credential which is over, or out of service. */
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

/** Writes `account` as `version` has it. Dies of an account that is none. */
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
