/**
 * The DPoP key of an account (RFC 9449). It is made when consent begins, and is stored as a JWK among the account's secrets.
 *
 * @module
 */
import { Clock, Effect, Option, Schema } from "effect"
import { type SecureRandom, WebCrypto } from "effect/crypto"
import { createHash } from "node:crypto"
import type { AuthConfig } from "@rekindle/core"
import { AuthConfigError } from "../account/AuthConfig.ts"
import { signer } from "./jws.ts"

/** The secret that holds the key. */
export const secretName = "dpop_key"

const algorithm = "ES256"

/** The public part of a key (RFC 7518 §6.2.1), with its members in the order of their names. */
const PublicKey = Schema.Struct({
  crv: Schema.Literal("P-256"),
  kty: Schema.Literal("EC"),
  x: Schema.String,
  y: Schema.String
})
const decodePublicKey = Schema.decodeUnknownOption(Schema.fromJsonString(PublicKey))

/** A new private key, as a JWK. */
export const generate: Effect.Effect<string> = Effect.flatMap(WebCrypto.WebCrypto, ({ subtle }) =>
  Effect.promise(async () => {
    const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])
    const { crv, d, kty, x, y } = await subtle.exportKey("jwk", pair.privateKey)
    return JSON.stringify({ crv, d, kty, x, y })
  })
)

const malformed = (config: AuthConfig) =>
  new AuthConfigError({
    authConfigId: config.id,
    message: `the account's ${secretName} is not a private JWK for ${algorithm}`
  })

const publicPart = (config: AuthConfig, jwk: string) =>
  Option.match(decodePublicKey(jwk), { onNone: () => Effect.fail(malformed(config)), onSome: Effect.succeed })

/** The thumbprint of the public key (RFC 7638 §3), which an authorization request names (RFC 9449 §10). */
export const thumbprint = (config: AuthConfig, jwk: string): Effect.Effect<string, AuthConfigError> =>
  Effect.map(publicPart(config, jwk), ({ crv, kty, x, y }) =>
    createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url")
  )

/** The request that a proof is for. */
export interface Proven {
  readonly method: string
  readonly url: string
  /** The access token that the request carries (RFC 9449 §7). A request to the token endpoint carries none. */
  readonly token?: string | undefined
  readonly nonce: string | undefined
}

/**
 * A proof for one request (RFC 9449 §4.2). Fails on a malformed key, which the application may have imported with the account.
 */
export const proof = Effect.fnUntraced(function* (
  config: AuthConfig,
  jwk: string,
  { method, nonce, token, url }: Proven,
  random: SecureRandom.SecureRandom["Service"]
) {
  const now = yield* Clock.currentTimeMillis
  const { origin, pathname } = new URL(url)
  const claims = {
    jti: yield* random.uuidV4(),
    iat: Math.floor(now / 1000),
    htm: method,
    htu: `${origin}${pathname}`,
    ...(token === undefined ? {} : { ath: createHash("sha256").update(token).digest("base64url") }),
    ...(nonce === undefined ? {} : { nonce })
  }
  const header = { typ: "dpop+jwt", jwk: yield* publicPart(config, jwk) }
  return yield* signer(jwk, algorithm).pipe(
    Effect.flatMap((sign) => sign(header, claims)),
    Effect.mapError(() => malformed(config))
  )
})
