/** Tokens that are signed here are verified by another implementation, for each algorithm and form of a key. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { compactVerify } from "jose"
import { generateKeyPairSync, type KeyPairKeyObjectResult } from "node:crypto"
import { signer } from "#engine/strategies/jws.ts"

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" })
const edwards = generateKeyPairSync("ed25519")

const pairs: ReadonlyArray<readonly [string, KeyPairKeyObjectResult]> = [
  ["RS256", rsa],
  ["RS384", rsa],
  ["RS512", rsa],
  ["PS256", rsa],
  ["PS384", rsa],
  ["PS512", rsa],
  ["ES256", p256],
  ["ES384", generateKeyPairSync("ec", { namedCurve: "P-384" })],
  ["ES512", generateKeyPairSync("ec", { namedCurve: "P-521" })],
  ["EdDSA", edwards],
  ["Ed25519", edwards]
]

const pem = ({ privateKey }: KeyPairKeyObjectResult) => privateKey.export({ type: "pkcs8", format: "pem" }).toString()

const jwk = ({ privateKey }: KeyPairKeyObjectResult, more: object = {}) =>
  JSON.stringify({ ...privateKey.export({ format: "jwk" }), ...more })

/** The content of a token that is signed with the key. */
const signed = (key: string, alg: string, { publicKey }: KeyPairKeyObjectResult) =>
  Effect.gen(function* () {
    const sign = yield* signer(key, alg)
    const token = yield* sign({ typ: "JWT" }, { sub: "ä person" })
    const { payload, protectedHeader } = yield* Effect.promise(() => compactVerify(token, publicKey))
    assert.deepStrictEqual(protectedHeader, { alg, typ: "JWT" })
    return JSON.parse(new TextDecoder().decode(payload)) as unknown
  })

/** A P-256 key in PKCS #8 without its public point (RFC 5915 §3), as Java writes it. */
const withoutPoint = (): string => {
  const { d = "" } = p256.privateKey.export({ format: "jwk" })
  const key = Buffer.concat([Buffer.from("30250201010420", "hex"), Buffer.from(d, "base64url")])
  const algorithm = Buffer.from("301306072a8648ce3d020106082a8648ce3d030107", "hex")
  const body = Buffer.concat([Buffer.from([2, 1, 0]), algorithm, Buffer.from([4, key.length]), key])
  const der = Buffer.concat([Buffer.from([0x30, body.length]), body])
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----`
}

describe("a signed token", () => {
  it.effect.each(pairs)("verifies with %s, whose key is a PEM or a JWK", ([alg, pair]) =>
    Effect.gen(function* () {
      for (const key of [pem(pair), jwk(pair)])
        assert.deepStrictEqual(yield* signed(key, alg, pair), { sub: "ä person" })
    })
  )

  it.effect.each([
    ["spaces in the place of line breaks", ` ${pem(p256).replaceAll("\n", " ")} `],
    ["no public point", withoutPoint()],
    ["a use of its own", jwk(p256, { use: "enc", key_ops: ["deriveBits"], alg: "ECDH-ES", ext: false })]
  ] as const)("verifies where the key has %s", ([, key]) =>
    Effect.map(signed(key, "ES256", p256), (claims) => assert.deepStrictEqual(claims, { sub: "ä person" }))
  )

  it.effect.each([
    ["nothing", "", "ES256"],
    ["a certificate", pem(p256).replaceAll("PRIVATE KEY", "CERTIFICATE"), "ES256"],
    ["a key that was cut short", pem(p256).replace(/.{20}\n-----END/, "\n-----END"), "ES256"],
    ["a public JWK", JSON.stringify(p256.publicKey.export({ format: "jwk" })), "ES256"],
    ["a key of another kind", pem(rsa), "ES256"],
    ["a key of another curve", pem(p256), "ES384"],
    ["an algorithm with a shared secret", JSON.stringify({ kty: "oct", k: "c2VjcmV0" }), "HS256"],
    ["no signature at all", pem(p256), "none"]
  ] as const)("is not made of %s", ([, key, alg]) =>
    Effect.map(Effect.result(signer(key, alg)), ({ _tag }) => assert.strictEqual(_tag, "Failure"))
  )
})
