/**
 * How the application authenticates at a token endpoint (RFC 6749 §2.3, RFC 7523 §2.2).
 *
 * @module
 */
import { Clock, Effect, Redacted } from "effect"
import type { SecureRandom } from "effect/crypto"
import type { AuthConfig } from "@rekindle/core"
import { type AuthConfigError, invalidConfig } from "../account/AuthConfig.ts"
import type { SecretNames } from "../account/Credential.ts"
import { signer } from "./jws.ts"
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

/** A request before it is sent. Client authentication adds to its fields or headers. */
export interface Form {
  readonly fields: URLSearchParams
  readonly headers: Record<string, string>
}

/** Adds what authenticates the application. `audience` is the issuer of the authorization server. */
export type ClientAuthentication = (form: Form, audience: string) => Effect.Effect<void, AuthConfigError>

type Random = SecureRandom.SecureRandom["Service"]

const formEncode = (value: string): string => new URLSearchParams([["", value]]).toString().slice(1)

const identified = (clientId: string, more: Readonly<Record<string, string>> = {}): ClientAuthentication => {
  const fields = Object.entries({ client_id: clientId, ...more })
  return (form) => Effect.sync(() => fields.forEach(([name, value]) => form.fields.set(name, value)))
}

/**
 * The Basic header, form-encoded before base64 (RFC 6749 §2.3.1). Only what a form has to escape is escaped: the RFC allows more, but some
 * providers fail to decode it.
 */
const basic = (clientId: string, secret: string): ClientAuthentication => {
  const header = `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(secret)}`).toString("base64")}`
  return ({ headers }) =>
    Effect.sync(() => {
      headers["authorization"] = header
    })
}

/** How long an assertion can be used, in seconds. It is sent at once. */
const assertionLife = 60

/** A signed assertion for each request (RFC 7523 §2.2 and §3). */
const signed = Effect.fnUntraced(function* (config: AuthConfig, settings: TokenEndpointSettings, random: Random) {
  const algorithm = settings.signingAlgorithm ?? "RS256"
  const unusable = () => invalidSecret(config, "private_key", `not a PKCS #8 or JWK private key for ${algorithm}`)
  const key = Redacted.value(yield* secretOf(config, "private_key"))
  const sign = yield* Effect.mapError(signer(key, algorithm), unusable)
  const clientId = settings.clientId ?? ""
  const header = settings.signingKeyId === undefined ? {} : { kid: settings.signingKeyId }
  const authenticate: ClientAuthentication = Effect.fnUntraced(function* (form, audience) {
    const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const claims = {
      iss: clientId,
      sub: clientId,
      aud: audience,
      jti: yield* random.uuidV4(),
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + assertionLife
    }
    const assertion = yield* Effect.mapError(sign(header, claims), unusable)
    yield* identified(clientId, {
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion
    })(form, audience)
  })
  return authenticate
})

const make = Effect.fnUntraced(function* (
  config: AuthConfig,
  settings: TokenEndpointSettings,
  random: Random
): Effect.fn.Return<ClientAuthentication, AuthConfigError> {
  const clientId = settings.clientId ?? ""
  switch (methodOf(config, settings)) {
    case "none":
      return identified(clientId)
    case "basic":
      return basic(clientId, Redacted.value(yield* secretOf(config, "client_secret")))
    case "post":
      return identified(clientId, { client_secret: Redacted.value(yield* secretOf(config, "client_secret")) })
    case "private_key_jwt":
      return yield* signed(config, settings, random)
  }
})

const known = new WeakMap<AuthConfig, ClientAuthentication>()

/** The client authentication of an auth config. Made once for each config object, because importing a key is slow. */
export const clientAuthentication = (
  config: AuthConfig,
  settings: TokenEndpointSettings,
  random: Random
): Effect.Effect<ClientAuthentication, AuthConfigError> => {
  const made = known.get(config)
  return made === undefined
    ? Effect.tap(make(config, settings, random), (made) => Effect.sync(() => known.set(config, made)))
    : Effect.succeed(made)
}
