/**
 * The DPoP key of an account (RFC 9449). It is made when consent begins, and is stored as a JWK among the account's secrets.
 *
 * @module
 */
import { Effect } from "effect"
import { exportJWK, importJWK } from "jose"
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

/** What `oauth4webapi` makes proofs with. Fails on a malformed key, which an application may have given with the account. */
export const handle = (config: AuthConfig, jwk: string): Effect.Effect<oauth.DPoPHandle, AuthConfigError> =>
  Effect.tryPromise({
    try: async () => {
      const publicJwk = JSON.parse(jwk)
      delete publicJwk.d
      const [privateKey, publicKey] = await Promise.all([
        importJWK(JSON.parse(jwk), algorithm),
        importJWK(publicJwk, algorithm, { extractable: true })
      ])
      if (privateKey instanceof Uint8Array || publicKey instanceof Uint8Array) throw new Error("a symmetric DPoP key")
      return oauth.DPoP({}, { privateKey, publicKey })
    },
    catch: () =>
      new AuthConfigError({
        authConfigId: config.id,
        message: `the account's ${secretName} is not a private JWK for ${algorithm}`
      })
  })
