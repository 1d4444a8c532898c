/**
 * How the application authenticates at a token endpoint (RFC 6749 §2.3, RFC 7523 §2.2).
 *
 * @module
 */
import { Effect, Redacted } from "effect"
import { importJWK, importPKCS8 } from "jose"
import * as oauth from "oauth4webapi"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import type { SecretNames } from "../account/Credential.ts"
import type { TokenEndpointSettings } from "./TokenEndpoint.ts"

/** The secrets of an auth config that authenticate the application. */
export const clientSecrets: SecretNames = { forms: { client_secret: "parameter", private_key: "document" } }

/** The method of client authentication: the setting, otherwise `basic` if there is a client secret, otherwise `none`. */
export const methodOf = (config: AuthConfig, settings: TokenEndpointSettings) =>
  settings.clientAuth ?? (config.secrets["client_secret"] === undefined ? "none" : "basic")

const invalidSecret = (config: AuthConfig, name: string, message: string) =>
  invalidConfig(config, [{ field: `secrets.${name}`, message }])

const secretOf = (config: AuthConfig, name: string): Effect.Effect<Redacted.Redacted<string>, AuthConfigError> => {
  const secret = config.secrets[name]
  return secret === undefined ? Effect.fail(invalidSecret(config, name, "it is missing")) : Effect.succeed(secret)
}

const formEncode = (value: string): string => new URLSearchParams([["", value]]).toString().slice(1)

/**
 * The Basic header, form-encoded before base64 (RFC 6749 §2.3.1). `oauth4webapi` also escapes `-` and `.`. The RFC allows that, but some
 * providers fail to decode it.
 */
const basic =
  (clientId: string, secret: string): oauth.ClientAuth =>
  (_server, _client, _body, headers) => {
    headers.set(
      "authorization",
      `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(secret)}`).toString("base64")}`
    )
  }

/** Imports a private key in PKCS #8 PEM or as a JWK. */
const importKey = (
  config: AuthConfig,
  key: Redacted.Redacted<string>,
  algorithm: string
): Effect.Effect<CryptoKey, AuthConfigError> =>
  Effect.tryPromise({
    try: async () => {
      const text = Redacted.value(key).trim()
      const imported = text.startsWith("{")
        ? await importJWK(JSON.parse(text), algorithm)
        : await importPKCS8(text, algorithm)
      if (imported instanceof Uint8Array) throw new Error("a symmetric key")
      return imported
    },
    catch: () => invalidSecret(config, "private_key", `not a PKCS #8 or JWK private key for ${algorithm}`)
  })

const make = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings) {
  switch (methodOf(config, settings)) {
    case "none":
      return oauth.None()
    case "basic":
      return basic(settings.clientId ?? "", Redacted.value(yield* secretOf(config, "client_secret")))
    case "post":
      return oauth.ClientSecretPost(Redacted.value(yield* secretOf(config, "client_secret")))
    case "private_key_jwt": {
      const pem = yield* secretOf(config, "private_key")
      const key = yield* importKey(config, pem, settings.signingAlgorithm ?? "RS256")
      return oauth.PrivateKeyJwt(settings.signingKeyId === undefined ? key : { key, kid: settings.signingKeyId })
    }
  }
})

const known = new WeakMap<AuthConfig, oauth.ClientAuth>()

/** The client authentication of an auth config. Made once for each config object, because importing a key is slow. */
export const clientAuthentication = (
  config: AuthConfig,
  settings: TokenEndpointSettings
): Effect.Effect<oauth.ClientAuth, AuthConfigError> => {
  const made = known.get(config)
  return made === undefined
    ? Effect.tap(make(config, settings), (made) => Effect.sync(() => known.set(config, made)))
    : Effect.succeed(made)
}
