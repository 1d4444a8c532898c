/**
 * The text of an API key: `rk_`, 12 hexadecimal digits that are the key's id, `_`, and 40 that are its secret.
 *
 * The prefix lets people and secret scanners recognise a key. The id tells which key it is without the secret. Both parts are plain ASCII, so no
 * other text looks or compares the same.
 *
 * A key is stored as its SHA-256. A fast hash is right here: the secret is 160 random bits, so nobody can guess it, however fast. A slow hash
 * protects passwords, which people choose; here it would only cost time in every request.
 *
 * @module
 */
import { Effect, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import { Hex } from "effect/encoding"
import { createHash, timingSafeEqual } from "node:crypto"

const idSize = 6
const secretSize = 20

const form = /^rk_([0-9a-f]{12})_[0-9a-f]{40}$/

/** Makes a key and its id. */
export const make: Effect.Effect<
  { readonly id: string; readonly key: Redacted.Redacted },
  never,
  SecureRandom.SecureRandom
> = Effect.gen(function* () {
  const random = yield* SecureRandom.SecureRandom
  const digits = (size: number) => Effect.map(Effect.orDie(random.randomBytes(size)), Hex.encode)
  const id = yield* digits(idSize)
  return { id: `key_${id}`, key: Redacted.make(`rk_${id}_${yield* digits(secretSize)}`, { label: "API key" }) }
})

/** The id of a key; `undefined` if the text is no key. White space around it is ignored, because keys come out of files. */
export const idOf = (key: Redacted.Redacted): string | undefined => {
  const [, id] = form.exec(Redacted.value(key).trim()) ?? []
  return id === undefined ? undefined : `key_${id}`
}

/** What is stored of a key. */
export const hashOf = (key: Redacted.Redacted): string =>
  createHash("sha256").update(Redacted.value(key).trim()).digest("hex")

/** Whether a key has the stored hash. The time it takes depends on neither. */
export const hasHash = (key: Redacted.Redacted, stored: string): boolean => {
  const expected = Buffer.from(stored, "hex")
  const digest = createHash("sha256").update(Redacted.value(key).trim()).digest()
  return expected.length === digest.length && timingSafeEqual(digest, expected)
}
