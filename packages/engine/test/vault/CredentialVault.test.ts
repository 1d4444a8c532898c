import { assert, describe, it } from "@effect/vitest"
import { CredentialVault, type SealContext, type VaultKey } from "@rekindle/engine/CredentialVault"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { createCipheriv } from "node:crypto"

const key = (id: string, fill: number, length = 32): VaultKey => ({
  id,
  key: Redacted.make(
    Buffer.alloc(length, fill)
      .fill(255 - fill, 0, 1)
      .toString("base64")
  )
})
const first = key("k1", 1)
const second = key("k2", 2)
const owner: SealContext = {
  purpose: "credential",
  projectId: "acme",
  owner: "ca_4CkFF_cKATwg",
  generation: 3
}
const plaintext = JSON.stringify({ secrets: { refresh_token: "rt-ümläut" } })

const withRing = (...ring: ReadonlyArray<VaultKey>) => Effect.provide(CredentialVault.layer(ring))
const seal = Effect.flatMap(CredentialVault, (vault) => vault.seal(owner, plaintext))
const open = (sealed: string, of = owner) => Effect.flatMap(CredentialVault, (vault) => vault.open(of, sealed))

describe("sealing", () => {
  it.effect("hides the plaintext, and opening in the same context returns it", () =>
    Effect.gen(function* () {
      const sealed = yield* seal
      assert.match(sealed, /^v2\.k1\.[\w-]{16}\.[\w-]+$/)
      assert.notInclude(Buffer.from(sealed.split(".")[3] ?? "", "base64url").toString("latin1"), "refresh_token")
      assert.strictEqual(yield* open(sealed), plaintext)
    }).pipe(withRing(first))
  )

  it.effect("uses a new nonce every time", () =>
    Effect.gen(function* () {
      const nonces = yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.map(seal, (text) => text.split(".")[2])
      )
      assert.strictEqual(new Set(nonces).size, 100)
    }).pipe(withRing(first))
  )

  it.effect("seals and opens an empty text", () =>
    Effect.gen(function* () {
      const vault = yield* CredentialVault
      assert.strictEqual(yield* vault.open(owner, yield* vault.seal(owner, "")), "")
    }).pipe(withRing(first))
  )
})

describe("opening", () => {
  for (const [what, elsewhere] of [
    ["another account", { owner: "ca_somebodyElse" }],
    ["another project", { projectId: "other" }],
    ["another purpose", { purpose: "journal" }],
    ["an older generation", { generation: 2 }],
    ["no generation", { generation: undefined }]
  ] as const) {
    it.effect(`refuses a value that was sealed in another context: ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(open(yield* seal, { ...owner, ...elsewhere }))
        assert.strictEqual(error.reason, "damaged")
      }).pipe(withRing(first))
    )
  }

  it.effect("accepts version 1, which is bound to the owner alone, and reports it as stale", () =>
    Effect.gen(function* () {
      const nonce = Buffer.alloc(12, 5)
      const cipher = createCipheriv("aes-256-gcm", Buffer.from(Redacted.value(first.key), "base64"), nonce)
      cipher.setAAD(Buffer.from(owner.owner))
      const bytes = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      const old = `v1.k1.${nonce.toString("base64url")}.${bytes.toString("base64url")}`
      assert.strictEqual(yield* open(old), plaintext)
      assert.isTrue((yield* CredentialVault).isStale(old))
      assert.strictEqual((yield* Effect.flip(open(old, { ...owner, owner: "ca_somebodyElse" }))).reason, "damaged")
    }).pipe(withRing(first))
  )

  it.effect("refuses a value with any bit of nonce, ciphertext or tag flipped", () =>
    Effect.gen(function* () {
      const [version, id, ...parts] = (yield* seal).split(".")
      for (const [index, part] of parts.entries()) {
        const bytes = Buffer.from(part, "base64url")
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          const damaged = Buffer.from(bytes)
          damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          const text = [version, id, ...parts.with(index, damaged.toString("base64url"))].join(".")
          assert.strictEqual((yield* Effect.flip(open(text))).reason, "damaged", `bit ${bit} of part ${index}`)
        }
      }
    }).pipe(withRing(first))
  )

  it.effect("refuses a value with any character changed", () =>
    Effect.gen(function* () {
      const sealed = yield* seal
      // every character of the alphabet in the last place: its unused bits do not reach the tag
      const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      for (let index = 0; index < sealed.length; index++) {
        for (const other of [...(index === sealed.length - 1 ? alphabet : "Az"), ".", "=", "\n", " "]) {
          if (sealed[index] === other) continue
          const text = sealed.slice(0, index) + other + sealed.slice(index + 1)
          const exit = yield* Effect.exit(open(text))
          assert.strictEqual(exit._tag, "Failure", `${JSON.stringify(other)} at ${index}`)
        }
      }
    }).pipe(withRing(first))
  )

  it.effect("refuses a truncated value and a value with text appended", () =>
    Effect.gen(function* () {
      const sealed = yield* seal
      for (let length = 0; length < sealed.length; length++) {
        yield* Effect.flip(open(sealed.slice(0, length)))
      }
      for (const more of [".", ".AAAA", "AAAA", "\n"]) yield* Effect.flip(open(sealed + more))
    }).pipe(withRing(first))
  )

  it.effect("fails with the id of a missing key, and nothing else", () =>
    Effect.gen(function* () {
      const sealed = yield* seal.pipe(withRing(first))
      const error = yield* Effect.flip(open(sealed).pipe(withRing(second)))
      assert.deepStrictEqual([error.reason, error.message], ["unknown-key", "no vault key with id k1"])
    })
  )

  it.effect("refuses a value that names another key of the ring", () =>
    Effect.gen(function* () {
      const sealed = yield* seal
      const error = yield* Effect.flip(open(sealed.replace("v2.k1.", "v2.k2.")))
      assert.strictEqual(error.reason, "damaged")
    }).pipe(withRing(first, second))
  )
})

describe("key rotation", () => {
  it.effect("old keys open, the newest key seals, and values of old keys are stale", () =>
    Effect.gen(function* () {
      const old = yield* seal.pipe(withRing(first))
      yield* Effect.gen(function* () {
        const vault = yield* CredentialVault
        assert.strictEqual(yield* open(old), plaintext)
        assert.isTrue(vault.isStale(old))
        const renewed = yield* seal
        assert.match(renewed, /^v2\.k2\./)
        assert.isFalse(vault.isStale(renewed))
      }).pipe(withRing(second, first))
    })
  )

  it.effect("a key whose id is a prefix of another's is not confused with it", () =>
    Effect.gen(function* () {
      const vault = yield* CredentialVault
      assert.isTrue(vault.isStale(yield* seal.pipe(withRing(key("k11", 3)))))
    }).pipe(withRing(first))
  )
})

describe("the key ring", () => {
  it.effect.each([
    { name: "is not empty", ring: [] },
    { name: "has no two keys with one id", ring: [first, key("k1", 2)] },
    { name: "has no key without an id", ring: [key("", 1)] },
    { name: "has no dots in an id", ring: [key("k.1", 1)] },
    { name: "has no key of 16 bytes", ring: [key("k1", 1, 16)] },
    { name: "has no key of 33 bytes, not even in second place", ring: [first, key("k2", 1, 33)] },
    { name: "has no key of zeros", ring: [{ id: "k1", key: Redacted.make(Buffer.alloc(32).toString("base64")) }] },
    {
      name: "has no key of one byte",
      ring: [{ id: "k1", key: Redacted.make(Buffer.alloc(32, 7).toString("base64")) }]
    },
    { name: "has no key that is not base64", ring: [{ id: "k1", key: Redacted.make("not base64!") }] }
  ])("$name", ({ ring }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(CredentialVault.layer(ring)))
      assert.strictEqual(error.reason, "invalid-key")
      assert.notInclude(error.message, "not base64!")
    }).pipe(Effect.scoped)
  )

  const good = Redacted.value(first.key)
  const hex = Buffer.from(good, "base64").toString("hex")
  it.effect.each([
    { mistake: "no id", keys: good, fault: "key 1 of the ring has no id" },
    { mistake: "hex", keys: `k1:${hex}`, fault: "key 1 of the ring is in hex" },
    { mistake: "hex and no id", keys: hex, fault: "key 1 of the ring has no id" },
    { mistake: "no id in second place", keys: `k1:${good}, ${hex}`, fault: "key 2 of the ring has no id" },
    { mistake: "id and key the wrong way round", keys: `${good}:k1`, fault: "key 1 of the ring has a malformed id" },
    { mistake: "hex in place of the id", keys: `${hex}:${good}`, fault: "key 1 of the ring has a malformed id" },
    { mistake: "a key cut short", keys: `k1:${good.slice(0, 40)}`, fault: "key 1 of the ring is 30 bytes long" },
    { mistake: "a colon too many", keys: `k1:${good}:`, fault: "key 1 of the ring is not in base64" },
    { mistake: "one id twice", keys: `k1:${good},k1:${good}`, fault: "key 2 of the ring has the id of an earlier one" }
  ])("fails with what is wrong in REKINDLE_KEYS and how to make a key, without its value: $mistake", (mistake) =>
    Effect.gen(function* () {
      const error = yield* CredentialVault.layerConfig().pipe(
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ REKINDLE_KEYS: mistake.keys }))),
        Layer.build,
        Effect.scoped,
        Effect.flip
      )
      assert.include(error.message, mistake.fault)
      assert.include(error.message, 'echo "k1:$(openssl rand -base64 32)"')
      for (let start = 0; start + 8 <= hex.length; start++) {
        assert.notInclude(String(error), good.slice(start, start + 8).padEnd(8, "\0"))
        assert.notInclude(String(error), hex.slice(start, start + 8))
      }
    })
  )

  it.effect("is read from the configuration, newest first", () =>
    Effect.gen(function* () {
      const old = yield* seal.pipe(withRing(first))
      const keys = [second, first].map(({ id, key }) => `${id}:${Redacted.value(key)}`).join(", ")
      const sealed = yield* Effect.gen(function* () {
        assert.strictEqual(yield* open(old), plaintext)
        return yield* seal
      }).pipe(
        Effect.provide(
          Layer.provide(
            CredentialVault.layerConfig(),
            ConfigProvider.layer(ConfigProvider.fromUnknown({ REKINDLE_KEYS: keys }))
          )
        )
      )
      assert.strictEqual(yield* open(sealed).pipe(withRing(second)), plaintext)
    })
  )

  it.effect("that is ephemeral opens only its own values", () =>
    Effect.gen(function* () {
      const sealed = yield* seal.pipe(Effect.provide(CredentialVault.layerEphemeral))
      const error = yield* Effect.flip(open(sealed).pipe(Effect.provide(CredentialVault.layerEphemeral)))
      assert.strictEqual(error.reason, "damaged")
    })
  )
})
