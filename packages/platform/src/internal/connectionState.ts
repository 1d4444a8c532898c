/**
 * Reads the fields of a credential that an application sends, `connection.state.val`: which of them are secrets, and under which names the
 * scheme keeps them. All others are public facts about the account.
 *
 * @module
 */
import { Expected, InvalidRequest } from "@rekindle/core"
import { DateTime, Duration, Effect, Redacted, type Schema } from "effect"

/** A credential as it was sent. Null removes a secret or an attribute that the account has. */
export interface ConnectionState {
  readonly secrets: Readonly<Record<string, Redacted.Redacted<string> | null>>
  readonly attributes: Readonly<Record<string, Schema.Json>>
  readonly expiresAt: DateTime.Utc | undefined
}

/** The published names of a scheme's secrets, with the names under which core has them. */
const secretNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  OAUTH2: { access_token: "access_token", refresh_token: "refresh_token", id_token: "id_token" },
  OAUTH1: { oauth_token: "access_token", oauth_token_secret: "oauth_token_secret" },
  S2S_OAUTH2: { client_id: "client_id", client_secret: "client_secret", access_token: "access_token" },
  API_KEY: { api_key: "api_key", generic_api_key: "api_key" },
  BEARER_TOKEN: { token: "token" },
  BASIC: { username: "username", password: "password" },
  BASIC_WITH_JWT: { username: "username", password: "password", access_token: "access_token" },
  GOOGLE_SERVICE_ACCOUNT: { credentials_json: "service_account_json" },
  NO_AUTH: {}
}

/** Published fields that tell how a connection came about. They are no part of its credential. */
const ofTheConsent = new Set([
  "authUri",
  "callback_url",
  "callbackUrl",
  "code_verifier",
  "composio_link_redirect_url",
  "consumer_key",
  "error",
  "error_description",
  "expired_at",
  "expires_in",
  "finalRedirectUri",
  "long_redirect_url",
  "oauth_verifier",
  "redirectUrl",
  "state_prefix",
  "status",
  "token_type",
  "webhook_signature"
])

/** An attribute is shown to every reader of the account, so a field whose name tells of a secret is never taken for one. */
const tellsOfASecret = /secret|passw|token|key|credential|signature|private/i

/** `expires_in` counts from now, in seconds. It comes as a number or as its text. */
const expiryOf = (expiresIn: Schema.Json | undefined) =>
  Effect.map(DateTime.now, (now) => {
    const seconds = typeof expiresIn === "string" && expiresIn !== "" ? Number(expiresIn) : expiresIn
    return typeof seconds === "number" && Number.isFinite(seconds) && seconds >= 0
      ? DateTime.addDuration(now, Duration.seconds(seconds))
      : undefined
  })

/** Reads the fields `val` of a credential for `scheme`. No mistake repeats a value. */
export const connectionState = Effect.fnUntraced(function* (
  scheme: string,
  val: Readonly<Record<string, Schema.Json>>
): Effect.fn.Return<ConnectionState, InvalidRequest> {
  const names = secretNames[scheme]
  const secrets: Record<string, Redacted.Redacted<string> | null> = {}
  const attributes: Record<string, Schema.Json> = {}
  const mistakes: Array<Expected.Mistake> = []
  for (const [name, value] of Object.entries(val)) {
    if (ofTheConsent.has(name)) continue
    // A scheme of the application's own has the secrets that the application says.
    const secret = names === undefined && typeof value === "string" ? name : names?.[name]
    if (secret === undefined) {
      if (!tellsOfASecret.test(name)) attributes[name] = value
      // To remove what the account cannot have changes nothing.
      else if (value !== null) mistakes.push(Expected.unknownField(name, Object.keys(names ?? {})))
    } else if (typeof value === "string") secrets[secret] = Redacted.make(value, { label: secret })
    else if (value === null) secrets[secret] ??= null
    else mistakes.push({ field: name, message: "Expected a string" })
  }
  if (mistakes.length > 0) {
    return yield* new InvalidRequest({
      message: `these are not the fields of a credential for ${scheme}`,
      slug: "invalid_secrets",
      errors: mistakes.map(({ field, message }) => Expected.line({ field: `val.${field}`, message }))
    })
  }
  return { secrets, attributes, expiresAt: yield* expiryOf(val["expires_in"]) }
})
