/**
 * The engine takes nothing from its surroundings but what its ports give it: time, chance, crypto, the store, the network and the disk. So it
 * runs within the steps of a simulated world, waits for no promise of the real one, and does the same in every run of a seed.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { AuthConfig, ConnectedAccounts, Connections, ConsentCallback, ProviderProfile } from "@rekindle/core"
import {
  AccountStore,
  CredentialVault,
  Egress,
  Engine,
  Journal,
  KeyRotation,
  Renewer,
  SqlAccountStore,
  SqliteClient,
  type Transport
} from "@rekindle/engine"
import { Simulation } from "@rekindle/testing"
import { Clock, type Context, DateTime, Effect, Layer, Random, Redacted, Schedule } from "effect"
import { WebCrypto } from "effect/crypto"
import { createHash, generateKeyPairSync } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as ModelStore from "./ModelStore.ts"

/** A provider: each refresh token is honoured once, and brings the next one. */
const makeProvider = () => {
  const seen = { refused: 0, authentication: new Array<string>(), paths: new Array<string>() }
  const alive = new Set<string>()
  const challenges = new Map<string, string>()
  let issued = 0
  const issue = () => {
    const token = `refresh-${++issued}`
    alive.add(token)
    return token
  }
  const isGranted = (fields: URLSearchParams): boolean => {
    const verifier = createHash("sha256").update(fields.get("code_verifier") ?? "")
    switch (fields.get("grant_type")) {
      case "refresh_token":
        return alive.delete(fields.get("refresh_token") ?? "")
      case "authorization_code":
        return challenges.get(fields.get("code") ?? "") === verifier.digest("base64url")
      default:
        return fields.has("assertion")
    }
  }
  const answerTo = (path: string, fields: URLSearchParams): readonly [number, object] => {
    if (path.startsWith("/.well-known"))
      return [200, { issuer: "https://provider.test", token_endpoint: "https://provider.test/token" }]
    if (path === "/revoke") return [200, { revoked: alive.delete(fields.get("token") ?? "") }]
    if (isGranted(fields))
      return [200, { access_token: `access-${issued}`, token_type: "bearer", expires_in: 300, refresh_token: issue() }]
    seen.refused++
    return [400, { error: "invalid_grant" }]
  }
  const transport: Transport = ({ body, headers, refusal, url }) =>
    Effect.gen(function* () {
      yield* Effect.sleep("20 millis")
      assert.isUndefined(refusal())
      const fields = new URLSearchParams(body)
      seen.paths.push(url.pathname)
      seen.authentication.push(headers["authorization"] ?? fields.get("client_secret") ?? "none")
      const [status, document] = answerTo(url.pathname, fields)
      return {
        _tag: "Answer",
        status,
        contentType: "application/json",
        retryAfter: undefined,
        body: JSON.stringify(document),
        receivedAt: yield* Clock.currentTimeMillis
      }
    })
  /** A person consents on the provider's page. Returns the parameters of the callback. */
  const consent = (page: string) => {
    const { searchParams } = new URL(page)
    const code = `code-${++issued}`
    challenges.set(code, searchParams.get("code_challenge") ?? "")
    return new URLSearchParams({ code, state: searchParams.get("state") ?? "" })
  }
  return { seen, issue, transport, consent }
}

const configOf = (id: string, settings: AuthConfig["settings"]) =>
  AuthConfig.make({
    id,
    toolkit: "scripted",
    scheme: "OAUTH2",
    profile: ProviderProfile.make({ name: "scripted", rotation: "single-use" }),
    settings: {
      clientId: "client",
      authorizationEndpoint: "https://provider.test/authorize",
      revocationEndpoint: "https://provider.test/revoke",
      ...settings
    },
    secrets: { client_secret: Redacted.make("secret") },
    hosts: ["provider.test"]
  })

const tokenEndpoint = "https://provider.test/token"
const basic = configOf("basic", { clientAuth: "basic", tokenEndpoint })
const post = configOf("post", { clientAuth: "post", tokenEndpoint })
const discovered = configOf("discovered", { issuer: "https://provider.test" })

const ring = ["new", "old"].map((id) => ({
  id,
  key: Redacted.make(Buffer.alloc(32, `key ${id}`).toString("base64"))
}))

interface Given {
  readonly engine: Context.Context<Engine.Provided | CredentialVault>
  readonly provider: ReturnType<typeof makeProvider>
  readonly model: ModelStore.ModelStore
}

const layerOn = (store: Layer.Layer<AccountStore, unknown>, provider: Given["provider"]) =>
  Renewer.layer({ pollInterval: "30 seconds" }).pipe(
    Layer.provideMerge(Engine.layerNoDeps({ consent: { callbackUrl: "https://app.test/callback" } })),
    Layer.provideMerge(store),
    Layer.provideMerge(CredentialVault.layer(ring)),
    Layer.provide(
      Egress.layerTransport({}, { transport: provider.transport, lookup: () => Effect.succeed(["93.184.215.14"]) })
    )
  )

/** The UUID of version 4 that random bytes make (RFC 9562 §5.4). */
const stringify = (random: Uint8Array): string => {
  const bytes = Buffer.from(random)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
}

/** One engine in a world, and what it did there. */
const run = async <E>(
  seed: number,
  use: (given: Given) => Effect.Effect<unknown, E, Engine.Provided | CredentialVault>,
  { database, promises = false }: { database?: Layer.Layer<AccountStore, unknown>; promises?: boolean } = {}
) => {
  const provider = makeProvider()
  const model = ModelStore.make()
  const store = database ?? Layer.succeed(AccountStore, model.store)
  const engineOn = ({ disk }: Simulation.Machine) =>
    layerOn(store, provider).pipe(
      Layer.provide(Journal.layerDisk(disk, { durability: "power" })),
      Layer.build,
      Effect.orDie
    )
  const outcome = await Simulation.run({ seed, promises }, (world) => {
    const node = world.node("engine", engineOn, { faults: false })
    // The node refuses until its engine has started.
    return Effect.retry(
      node.call((engine) => Effect.provideContext(Effect.orDie(use({ engine, provider, model })), engine)),
      Schedule.spaced("10 millis")
    )
  })
  assert.isUndefined(outcome.failure, Simulation.report(outcome))
  return { outcome, model, ...provider }
}

const connected = Effect.fnUntraced(function* (config: AuthConfig, issue: () => string) {
  const connections = yield* Connections
  yield* connections.authConfigs.register(config)
  const now = yield* Clock.currentTimeMillis
  return yield* connections.create({
    authConfigId: config.id,
    userId: "person",
    secrets: { access_token: Redacted.make("stale"), refresh_token: Redacted.make(issue()) },
    expiresAt: DateTime.makeUnsafe(now - 1)
  })
})

const refreshed = Effect.fnUntraced(function* (config: AuthConfig, issue: () => string) {
  const { id } = yield* connected(config, issue)
  return yield* (yield* ConnectedAccounts).refresh(id)
})

describe("an engine in a simulated world", () => {
  it("connects and refreshes with nothing of the real world, however the client authenticates", async () => {
    const { model, seen } = await run(1, ({ provider }) =>
      Effect.forEach([basic, post, discovered], (config) => refreshed(config, provider.issue))
    )
    assert.deepStrictEqual(
      [...model.accounts().values()].map(({ generation, status }) => ({ generation, status })),
      Array.from({ length: 3 }, () => ({ generation: 2, status: "ACTIVE" }))
    )
    assert.deepStrictEqual(seen.paths, ["/token", "/token", "/.well-known/openid-configuration", "/token"])
    const header = `Basic ${btoa("client:secret")}`
    assert.deepStrictEqual(seen.authentication, [header, "secret", "none", header])
    assert.strictEqual(seen.refused, 0)
  })

  it("lives through everything an application does: consent, renewal by itself, resealing, withdrawal", async () => {
    const { model, seen } = await run(2, ({ model, provider }) =>
      Effect.gen(function* () {
        const connections = yield* Connections
        const accounts = yield* ConnectedAccounts
        yield* connections.authConfigs.register(post)
        const { id } = yield* connections.create({ authConfigId: post.id, userId: "person" })
        const { url } = yield* connections.link(id, { session: "browser" })
        const callback = yield* ConsentCallback
        const result = yield* callback.complete(provider.consent(url), "browser")
        assert.strictEqual(result.status, "ACTIVE")
        yield* Effect.sleep("1 hour")
        const [row] = model.accounts().values()
        assert.isAbove(row?.generation ?? 0, 8)
        const keyed = { idempotencyKey: "once" }
        assert.deepStrictEqual(yield* accounts.refresh(id, keyed), yield* accounts.refresh(id, keyed))
        yield* connections.disable(id)
        yield* connections.enable(id)
        assert.strictEqual((yield* KeyRotation.reseal).left, 0)
        const { withdrawn } = yield* connections.revoke(id)
        assert.strictEqual(withdrawn, "confirmed")
        yield* connections.remove(id)
      })
    )
    assert.strictEqual(seen.refused, 0)
    assert.strictEqual(model.accounts().size, 0)
    assert.deepStrictEqual(
      [...new Set(model.events().map(({ type }) => type))],
      ["consent_started", "consent_completed", "renewed"]
    )
  })

  it("runs on SQLite in memory as well", async () => {
    const database = Layer.provide(SqlAccountStore.layer, SqliteClient.layer(":memory:"))
    const { seen } = await run(
      5,
      ({ provider }) =>
        Effect.gen(function* () {
          yield* refreshed(post, provider.issue)
          yield* Effect.sleep("1 hour")
          const { byStatus } = yield* (yield* AccountStore).counts(yield* Clock.currentTimeMillis)
          assert.deepStrictEqual(byStatus, { ACTIVE: 1 })
        }),
      { database }
    )
    assert.isAbove(seen.paths.length, 8)
    assert.strictEqual(seen.refused, 0)
  })

  it("signs with the world's Web Crypto, in a world that waits for it", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" })
    const asserting = AuthConfig.make({
      ...configOf("asserting", { clientAuth: "private_key_jwt", tokenEndpoint, dpop: true }),
      secrets: { private_key: Redacted.make(String(rsa)) }
    })
    const service = AuthConfig.make({
      ...configOf("service", {}),
      scheme: "GOOGLE_SERVICE_ACCOUNT",
      settings: { scopes: ["read"] },
      secrets: {}
    })
    const keyFile = { client_email: "robot@provider.test", private_key: rsa, token_uri: tokenEndpoint }
    const world = () =>
      run(
        6,
        ({ provider }) =>
          Effect.gen(function* () {
            const connections = yield* Connections
            const accounts = yield* ConnectedAccounts
            for (const config of [asserting, service]) yield* connections.authConfigs.register(config)
            const { id } = yield* connections.create({ authConfigId: "asserting", userId: "person" })
            yield* (yield* ConsentCallback).complete(provider.consent((yield* connections.link(id)).url), undefined)
            yield* accounts.refresh(id)
            const robot = yield* connections.create({
              authConfigId: "service",
              userId: "robot",
              secrets: { service_account_json: Redacted.make(JSON.stringify(keyFile)) }
            })
            yield* accounts.refresh(robot.id)
          }),
        { promises: true }
      )
    const [one, again] = [await world(), await world()]
    assert.strictEqual(one.outcome.fingerprint, again.outcome.fingerprint)
    assert.deepStrictEqual(
      [...one.model.accounts().values()].map(({ generation, status }) => [generation, status]),
      [
        [2, "ACTIVE"],
        [2, "ACTIVE"]
      ]
    )
    assert.strictEqual(one.seen.refused, 0)
  })

  /** Everything random that is stored, of one world. */
  const drawn = async (seed: number) => {
    const { model, outcome } = await run(seed, ({ provider }) =>
      Effect.gen(function* () {
        yield* refreshed(post, provider.issue)
        const connections = yield* Connections
        const { id } = yield* connections.create({ authConfigId: post.id, userId: "person" })
        yield* connections.link(id)
      })
    )
    const [account] = model.accounts().values()
    const [attempt] = model.attempts().values()
    const canaries = await Effect.runPromise(model.store.listCanaries)
    return {
      fingerprint: outcome.fingerprint,
      id: account?.id,
      grant: account?.grantId,
      credential: account?.credential,
      state: attempt?.stateHash,
      memo: attempt?.sealed,
      canary: canaries[0]?.sealed
    }
  }

  it("draws ids, states, verifiers and nonces from the world's crypto alone: a seed gives the same ones, and no other", async () => {
    const [one, again, other] = [await drawn(3), await drawn(3), await drawn(4)]
    assert.deepStrictEqual(again, one)
    for (const [name, value] of Object.entries(one)) {
      assert.isDefined(value, name)
      assert.notStrictEqual(Object.entries(other).find(([key]) => key === name)?.[1], value, name)
    }
  })
})

describe("an engine outside of any world", () => {
  it.effect(
    "makes ids, states, verifiers and nonces of bytes that the platform's crypto gave, whatever Random is",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* WebCrypto.WebCrypto, globalThis.crypto)
        const drawn = new Array<Buffer>()
        const draw = globalThis.crypto.getRandomValues.bind(globalThis.crypto)
        const spy = vi.spyOn(globalThis.crypto, "getRandomValues").mockImplementation((array) => {
          draw(array)
          if (ArrayBuffer.isView(array))
            drawn.push(Buffer.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength)))
          return array
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
        const provider = makeProvider()
        const model = ModelStore.make()
        const url = yield* Effect.gen(function* () {
          const connections = yield* Connections
          yield* connected(post, provider.issue)
          const { id } = yield* connections.create({ authConfigId: post.id, userId: "person" })
          return (yield* connections.link(id)).url
        }).pipe(
          Effect.provide(
            Layer.provide(layerOn(Layer.succeed(AccountStore, model.store), provider), Journal.layerMemory)
          ),
          Effect.provideService(Random.Random, { nextIntUnsafe: () => 4, nextDoubleUnsafe: () => 0.4 })
        )
        const { searchParams } = new URL(url)
        const [account] = model.accounts().values()
        const uuids = drawn.filter(({ length }) => length === 16).map((bytes) => stringify(bytes))
        const texts = drawn.filter(({ length }) => length === 32).map((bytes) => bytes.toString("base64url"))
        assert.include(texts, searchParams.get("state"))
        const challenges = texts.map((text) => createHash("sha256").update(text).digest("base64url"))
        assert.include(challenges, searchParams.get("code_challenge"))
        assert.include(uuids, account?.grantId.replace("1:", ""))
        assert.include(
          uuids.map((uuid) => `ca_${uuid.replaceAll("-", "")}`),
          account?.id
        )
        const nonce = Buffer.from(account?.credential?.split(".")[2] ?? "", "base64url")
        assert.lengthOf(nonce, 12)
        assert.isTrue(drawn.some((bytes) => bytes.includes(nonce)))
      })
  )
})

describe("the sources of the engine", () => {
  const folder = join(import.meta.dirname, "../../src")

  /** What differs between two runs, and what is waited for outside of a step. Modules of Node that only compute are neither. */
  const ambient = [
    /\b(?:Date\.now|Math\.random|performance\.|process\.hrtime|new Date\(\))/,
    /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask|fetch)\(/,
    /\bcrypto\.(?:randomUUID|getRandomValues|subtle)/,
    /\b(?:random(?:Bytes|Fill|FillSync|Int|UUID)|generateKeyPair(?:Sync)?)\b.* from "node:crypto"/,
    /\b(?:randomBytes|uuidV4|uuidV7|ulid)Unsafe\b/,
    /\bEffect\.(?:promise|tryPromise|runPromise\w*)\(/,
    /"node:(?!crypto|path|net"|zlib|util)[\w/]+"/
  ]

  const code = (text: string) =>
    text
      .split("\n")
      .filter((line) => !/^\s*(?:\*|\/\*|\/\/)/.test(line) && !/^import type /.test(line))
      .join("\n")

  it("reach for the real world only in the parts that fill a port", () => {
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .filter((name) => {
        const text = code(readFileSync(join(folder, name), "utf8"))
        return ambient.some((pattern) => pattern.test(text))
      })
    assert.deepStrictEqual(found.toSorted(), [
      // Egress: names, sockets, certificates.
      "egress/Egress.ts",
      "egress/environment.ts",
      "egress/nodeHttp.ts",
      "egress/transport.ts",
      "egress/tunnel.ts",
      "egress/undici.ts",
      // Journal: the disk.
      "renewal/nodeDisk.ts",
      // AccountStore: SQLite, and the files beside it.
      "store/SqliteClient.ts",
      "store/databaseFile.ts",
      "store/restoreMark.ts",
      // Keys of Effect's `WebCrypto`, which signs on other threads.
      "strategies/dpop.ts",
      "strategies/jws.ts"
    ])
  })
})
