/**
 * Seals credentials for storage with AES-256-GCM, and opens them.
 *
 * A sealed value names the key that sealed it. It is bound to its context: project, purpose, owner and generation are authenticated as
 * additional data. A value that is copied to another row, column or project, or into a later generation of its row, does not open.
 *
 * Keys are rotated by adding a new key in front of the ring. The newest key seals, and every key opens.
 *
 * **Gotchas**
 *
 * Values of version 1 are bound to their owner alone. They still open, and count as stale, so `rekindle reseal` seals them again as version
 * 2. Until the keys that sealed version 1 leave the ring, an old value of version 1 could be copied from a backup.
 *
 * @module
 */
import { Config, Context, Effect, Layer, Redacted, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64 } from "effect/encoding"
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto"

/** A sealed value could not be opened, or a key of the ring is invalid. The error holds nothing secret. */
export class VaultError extends Schema.TaggedError<VaultError>("@rekindle/engine/VaultError")("VaultError", {
  message: Schema.String,
  reason: Schema.Literals(["unknown-key", "wrong-key", "damaged", "invalid-key"])
}) {}

/** A sealed text: `v2.<key id>.<nonce>.<ciphertext and tag>`, the last two in base64url. */
export const Sealed = Schema.String.pipe(Schema.brand("Sealed"))
export type Sealed = typeof Sealed.Type

/** The id of the key that sealed a value. Undefined if the text does not have the form of a sealed value. */
export const keyIdOf = (sealed: string): string | undefined => sealedForm.exec(sealed)?.[2]

/** The context that a sealed value is bound to. It opens only in the same context. */
export interface SealContext {
  readonly purpose:
    | "credential"
    | "auth-config"
    | "consent-memo"
    | "consent-end"
    | "idempotent-answer"
    | "journal"
    | "canary"
    | "webhook-secrets"
  /** The project that the data belong to; empty if they belong to none. */
  readonly projectId: string
  /** The owner of the data: the id of an account, an auth config or a key, or the hash of a state or an idempotency key. */
  readonly owner: string
  /** For a credential, the account's generation. */
  readonly generation?: number | undefined
}

/** One key of the ring: an id of your choice (up to 40 letters, digits, `-` and `_`) and 32 random bytes in base64. */
export interface VaultKey {
  readonly id: string
  readonly key: Redacted.Redacted<string>
}

/** Seals and opens secrets. */
export class CredentialVault extends Context.Service<
  CredentialVault,
  {
    /** Seals with the newest key, and binds the value to the context. */
    readonly seal: (context: SealContext, plaintext: string) => Effect.Effect<Sealed>
    /** Opens a value that was sealed in the same context by any key of the ring. */
    readonly open: (context: SealContext, sealed: string) => Effect.Effect<string, VaultError>
    /** Whether a value should be sealed again, because an older key or version sealed it. */
    readonly isStale: (sealed: string) => boolean
    /** The ids of the keys, newest first. */
    readonly keyIds: ReadonlyArray<string>
  }
>()("@rekindle/engine/CredentialVault") {
  /**
   * A vault with a key ring, newest key first. Fails on an empty ring, on a repeated id, and on a key that is not 32 bytes long. A key of one
   * repeated byte is refused too, because a failed read leaves zeros.
   */
  static readonly layer = (ring: ReadonlyArray<VaultKey>): Layer.Layer<CredentialVault, VaultError> =>
    Layer.effect(CredentialVault, make(ring)).pipe(Layer.provide(SecureRandom.layerWebCrypto))

  /** A vault with one random key, for tests and the in-memory store. What it sealed cannot be opened after the process has ended. */
  static readonly layerEphemeral: Layer.Layer<CredentialVault> = Layer.unwrap(
    Effect.gen(function* () {
      const random = yield* SecureRandom.SecureRandom
      const bytes = yield* random.randomBytes(32)
      return CredentialVault.layer([{ id: "ephemeral", key: Redacted.make(Base64.encode(bytes)) }])
    })
  ).pipe(Layer.orDie, Layer.provide(SecureRandom.layerWebCrypto))

  /** Like {@link layer}, from configuration. By default from `REKINDLE_KEYS`. */
  static readonly layerConfig = (
    config: Config.Wrap<ReadonlyArray<VaultKey>> = environment
  ): Layer.Layer<CredentialVault, VaultError | Config.ConfigError> =>
    Layer.unwrap(Effect.map(Config.unwrap(config), CredentialVault.layer))
}

/** `REKINDLE_KEYS`: comma-separated `id:base64key`, newest first. No error repeats its value. */
const environment = Config.map(Config.Redacted("REKINDLE_KEYS"), (keys): ReadonlyArray<VaultKey> =>
  Redacted.value(keys)
    .split(",")
    .map((entry) => {
      const text = entry.trim()
      const colon = text.indexOf(":")
      return { id: text.slice(0, Math.max(0, colon)), key: Redacted.make(text.slice(colon + 1)) }
    })
)

const sealedForm = /^(v[12])\.([\w-]+)\.([\w-]+)\.([\w-]+)$/

/** The additional data. As JSON, different parts never give the same text. */
const boundTo = ({ generation, owner, projectId, purpose }: SealContext): string =>
  JSON.stringify(["rekindle.v2", purpose, projectId, owner, generation ?? null])

const algorithm = "aes-256-gcm"
const keyLength = 32
const nonceLength = 12
const tagLength = 16

/** How many nonces are drawn at once, because drawing one takes as long as a cipher does. */
const noncesAtOnce = 256

/** The message names a key by its place in the ring. The id is not repeated, because it may be the key by mistake. */
const invalidKey = (fault: string) =>
  new VaultError({
    message: `${fault}; REKINDLE_KEYS is id:key,… with the newest first, a key is 32 random bytes in base64, and echo "k1:$(openssl rand -base64 32)" makes one`,
    reason: "invalid-key"
  })

const damaged = Effect.suspend(() =>
  Effect.fail(new VaultError({ message: "a sealed value is damaged or does not belong here", reason: "damaged" }))
)

const make = Effect.fnUntraced(function* (ring: ReadonlyArray<VaultKey>) {
  const random = yield* SecureRandom.SecureRandom

  // Node checks and converts raw key bytes for every cipher. A key object spares that.
  const keys = new Map<string, KeyObject>()
  for (const [index, { id, key }] of ring.entries()) {
    const invalid = (fault: string) => invalidKey(`key ${index + 1} of the ring ${fault}`)
    const text = Redacted.value(key)
    if (!/^[\w-]{1,40}$/.test(id)) return yield* invalid(id === "" ? "has no id" : "has a malformed id")
    if (keys.has(id)) return yield* invalid("has the id of an earlier one")
    if (/^[\da-f]{64}$/i.test(text)) return yield* invalid("is in hex")
    const bytes = yield* Effect.fromResult(Base64.decode(text)).pipe(Effect.mapError(() => invalid("is not in base64")))
    if (bytes.length !== keyLength) return yield* invalid(`is ${bytes.length} bytes long`)
    if (bytes.every((byte) => byte === bytes[0])) return yield* invalid("is one byte repeated")
    keys.set(id, createSecretKey(bytes))
  }
  const newest = ring[0]
  const sealingKey = newest === undefined ? undefined : keys.get(newest.id)
  if (newest === undefined || sealingKey === undefined) return yield* invalidKey("the ring is empty")

  let nonces: Uint8Array = new Uint8Array()
  const takeNonce = (): Uint8Array => {
    const nonce = nonces.subarray(0, nonceLength)
    nonces = nonces.subarray(nonceLength)
    return nonce
  }
  /** A nonce that is used once. */
  const nextNonce = Effect.suspend(() =>
    nonces.length > 0
      ? Effect.succeed(takeNonce())
      : Effect.map(Effect.orDie(random.randomBytes(noncesAtOnce * nonceLength)), (drawn) => {
          nonces = drawn
          return takeNonce()
        })
  )

  // Node's AES takes a few microseconds on the calling thread. `crypto.subtle` takes ten times as long.
  const seal = (context: SealContext, plaintext: string) =>
    Effect.map(nextNonce, (nonce) => {
      const cipher = createCipheriv(algorithm, sealingKey, nonce).setAAD(Buffer.from(boundTo(context), "utf8"))
      const ciphertext = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()])
      return Sealed.make(
        `v2.${newest.id}.${Buffer.from(nonce).toString("base64url")}.${ciphertext.toString("base64url")}`
      )
    })

  const open = (context: SealContext, sealed: string): Effect.Effect<string, VaultError> =>
    Effect.suspend(() => {
      const parts = sealedForm.exec(sealed)
      if (parts === null) return damaged
      const [, version, id = "", nonceText = "", ciphertextText = ""] = parts
      const key = keys.get(id)
      if (key === undefined) {
        return new VaultError({ message: `no vault key with id ${id}`, reason: "unknown-key" })
      }
      const nonce = Buffer.from(nonceText, "base64url")
      const ciphertext = Buffer.from(ciphertextText, "base64url")
      // The tag detects a change of the bytes. Encoding them again detects a change of the unused bits at the end of the text.
      if (nonce.toString("base64url") !== nonceText || ciphertext.toString("base64url") !== ciphertextText)
        return damaged
      try {
        const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagLength })
          .setAAD(Buffer.from(version === "v1" ? context.owner : boundTo(context), "utf8"))
          .setAuthTag(ciphertext.subarray(-tagLength))
        const plaintext = decipher.update(ciphertext.subarray(0, -tagLength))
        return Effect.succeed(Buffer.concat([plaintext, decipher.final()]).toString("utf8"))
      } catch {
        return damaged
      }
    })

  return CredentialVault.of({
    seal,
    open,
    isStale: (sealed) => !sealed.startsWith(`v2.${newest.id}.`),
    keyIds: ring.map(({ id }) => id)
  })
})
