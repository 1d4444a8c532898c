/**
 * The DPoP key of an account (RFC 9449). It is made when consent begins, and is stored as a JWK among the account's secrets.
 *
 * @module
 */
import { Clock, Effect } from "effect"
import type { SecureRandom } from "effect/crypto"
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose"
import { createHash } from "node:crypto"
import type { AuthConfig } from "@rekindle/core"
import { AuthConfigError } from "../account/AuthConfig.ts"

/** The secret that holds the key. */
export const secretName = "dpop_key"

const algorithm = "ES256"

/** A new private key, as a JWK. */
export const generate: Effect.Effect<string> = Effect.promise(async () => {
  const pair = await generateKeyPair(algorithm, { extractable: true })
  return JSON.stringify(await exportJWK(pair.privateKey))
})

/** The members of the public key (RFC 7518 §6.2.1). */
const publicPart = (jwk: string): JWK => {
  const { crv, kty, x, y }: JWK = JSON.parse(jwk)
  return { ...(crv && { crv }), ...(kty && { kty }), ...(x && { x }), ...(y && { y }) }
}

const malformed = (config: AuthConfig) =>
  new AuthConfigError({
    authConfigId: config.id,
    message: `the account's ${secretName} is not a private JWK for ${algorithm}`
  })

/** The thumbprint of the public key, which an authorization request names (RFC 9449 §10). */
export const thumbprint = (config: AuthConfig, jwk: string): Effect.Effect<string, AuthConfigError> =>
  Effect.tryPromise({ try: () => calculateJwkThumbprint(publicPart(jwk)), catch: () => malformed(config) })

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
  const jti = yield* random.uuidV4()
  return yield* Effect.tryPromise({
    try: async () => {
      const { origin, pathname } = new URL(url)
      return await new SignJWT({
        jti,
        htm: method,
        htu: `${origin}${pathname}`,
        ...(token === undefined ? {} : { ath: createHash("sha256").update(token).digest("base64url") }),
        ...(nonce === undefined ? {} : { nonce })
      })
        .setIssuedAt(Math.floor(now / 1000))
        .setProtectedHeader({ alg: algorithm, typ: "dpop+jwt", jwk: publicPart(jwk) })
        .sign(await importJWK(JSON.parse(jwk), algorithm))
    },
    catch: () => malformed(config)
  })
})
