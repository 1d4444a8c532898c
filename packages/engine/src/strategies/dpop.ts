/**
 * The DPoP key of an account (RFC 9449). It is made when consent begins, and is stored as a JWK among the account's secrets.
 *
 * @module
 */
import { Clock, Effect } from "effect"
import { exportJWK, importJWK, type JWK, SignJWT } from "jose"
import { createHash, randomUUID } from "node:crypto"
import * as oauth from "oauth4webapi"
import type { AuthConfig } from "@rekindle/core"
import { AuthConfigError } from "../account/AuthConfig.ts"

/** The secret that holds the key. */
export const secretName = "dpop_key"

const algorithm = "ES256"

/** A new private key, as a JWK. */
export const generate: Effect.Effect<string> = Effect.promise(async () => {
  const pair = await oauth.generateKeyPair(algorithm, { extractable: true })
  return JSON.stringify(await exportJWK(pair.privateKey))
})

const publicPart = (jwk: string): JWK => {
  const key: JWK = JSON.parse(jwk)
  delete key.d
  return key
}

const malformed = (config: AuthConfig) =>
  new AuthConfigError({
    authConfigId: config.id,
    message: `the account's ${secretName} is not a private JWK for ${algorithm}`
  })

/** A proof for one request with an access token (RFC 9449 §4.2, §7). */
export const proof = (
  config: AuthConfig,
  jwk: string,
  request: { readonly method: string; readonly url: string; readonly token: string; readonly nonce: string | undefined }
): Effect.Effect<string, AuthConfigError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.tryPromise({
      try: async () => {
        const { origin, pathname } = new URL(request.url)
        return await new SignJWT({
          jti: randomUUID(),
          htm: request.method,
          htu: `${origin}${pathname}`,
          ath: createHash("sha256").update(request.token).digest("base64url"),
          ...(request.nonce === undefined ? {} : { nonce: request.nonce })
        })
          .setIssuedAt(Math.floor(now / 1000))
          .setProtectedHeader({ alg: algorithm, typ: "dpop+jwt", jwk: publicPart(jwk) })
          .sign(await importJWK(JSON.parse(jwk), algorithm))
      },
      catch: () => malformed(config)
    })
  )

/** The handle that `oauth4webapi` makes proofs with. Fails on a malformed key, which the application may have imported with the account. */
export const handle = (config: AuthConfig, jwk: string): Effect.Effect<oauth.DPoPHandle, AuthConfigError> =>
  Effect.tryPromise({
    try: async () => {
      const [privateKey, publicKey] = await Promise.all([
        importJWK(JSON.parse(jwk), algorithm),
        importJWK(publicPart(jwk), algorithm, { extractable: true })
      ])
      if (privateKey instanceof Uint8Array || publicKey instanceof Uint8Array) throw new Error("a symmetric DPoP key")
      return oauth.DPoP({}, { privateKey, publicKey })
    },
    catch: () => malformed(config)
  })
