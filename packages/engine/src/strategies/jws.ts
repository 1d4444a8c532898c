/**
 * Signs JSON Web Tokens (RFC 7515, RFC 7519) with the keys of Effect's `WebCrypto`.
 *
 * Web Crypto signs on other threads, so this is the only part of a token request that is waited for.
 *
 * @module
 */
import { type Cause, Effect, Struct } from "effect"
import { WebCrypto } from "effect/crypto"
import { Base64Url } from "effect/encoding"

/** The parameters of Web Crypto for an algorithm, both to import a key and to sign with it. */
interface Parameters {
  readonly name: string
  readonly hash?: string
  readonly saltLength?: number
  readonly namedCurve?: string
}

/** By the name of the algorithm (RFC 7518 §3.1, RFC 9864 §2). */
const algorithms = new Map<string, Parameters>([
  ...[256, 384, 512].flatMap((bits) => [
    [`RS${bits}`, { name: "RSASSA-PKCS1-v1_5", hash: `SHA-${bits}` }] as const,
    [`PS${bits}`, { name: "RSA-PSS", hash: `SHA-${bits}`, saltLength: bits / 8 }] as const
  ]),
  ["ES256", { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }],
  ["ES384", { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" }],
  ["ES512", { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" }],
  ["EdDSA", { name: "Ed25519" }],
  ["Ed25519", { name: "Ed25519" }]
])

/** Signs a token. `alg` is added to the header. Fails if the key does not sign. */
export type Sign = (header: object, claims: object) => Effect.Effect<string, Cause.UnknownError>

const json = (value: object): string => Base64Url.encode(JSON.stringify(value))

const importKey = (subtle: SubtleCrypto, text: string, parameters: Parameters): Promise<CryptoKey> => {
  if (text.startsWith("{")) {
    // What a JWK says of its use can refuse a key that signs well.
    const jwk: JsonWebKey = JSON.parse(text)
    return subtle.importKey("jwk", Struct.omit(jwk, ["alg", "ext", "key_ops", "use"]), parameters, false, ["sign"])
  }
  const [, body] = /^-----BEGIN PRIVATE KEY-----([^-]+)-----END PRIVATE KEY-----$/.exec(text) ?? []
  if (body === undefined) throw new Error("not a PKCS #8 PEM")
  return subtle.importKey("pkcs8", Buffer.from(body, "base64"), parameters, false, ["sign"])
}

/**
 * Imports a private key in PKCS #8 PEM or as a JWK (RFC 7517), and returns how to sign with it. Fails on a key that is malformed or of another
 * algorithm. The cause of the failure may show a part of the key.
 */
export const signer = Effect.fnUntraced(function* (
  privateKey: string,
  alg: string
): Effect.fn.Return<Sign, Cause.UnknownError> {
  const { subtle } = yield* WebCrypto.WebCrypto
  const parameters = algorithms.get(alg)
  const key = yield* Effect.tryPromise(async () => {
    if (parameters === undefined) throw new Error(`no algorithm ${alg}`)
    return { parameters, key: await importKey(subtle, privateKey.trim(), parameters) }
  })
  return (header, claims) => {
    const input = `${json({ alg, ...header })}.${json(claims)}`
    return Effect.map(
      Effect.tryPromise(() => subtle.sign(key.parameters, key.key, Buffer.from(input))),
      (signature) => `${input}.${Base64Url.encode(new Uint8Array(signature))}`
    )
  }
})
