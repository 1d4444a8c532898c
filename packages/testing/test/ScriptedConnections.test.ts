import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, ConnectedAccountId, ConnectedAccounts, Connections, Ready, Unavailable } from "@rekindle/core"
import * as Contract from "@rekindle/testing/ConnectionsContract"
import { account } from "@rekindle/testing/ScriptedAccounts"
import { layer, ScriptedConnections } from "@rekindle/testing/ScriptedConnections"
import { Array, DateTime, Effect, Exit, Layer, Redacted } from "effect"

const config = (id: string, scheme: AuthConfig["scheme"], settings: AuthConfig["settings"] = {}) =>
  AuthConfig.make({ id, toolkit: "scripted", scheme, settings, hosts: ["api.contract.test"] })

let issued = 0
const fixtures = Layer.effect(
  Contract.Fixtures,
  Effect.map(ScriptedConnections, ({ consentTo }) => ({
    oauth: config("oauth", "OAUTH2"),
    apiKey: config("key", "API_KEY", { keyHeader: "x-key" }),
    basic: config("basic", "BASIC"),
    secrets: Effect.sync(() => {
      issued++
      return {
        access_token: Redacted.make(`contract-access-${issued}`),
        refresh_token: Redacted.make(`contract-refresh-${issued}`)
      }
    }),
    consent: (_url: string, id: ConnectedAccountId) => consentTo(id)
  }))
)

const provider = Layer.provideMerge(fixtures, layer())

Contract.suite("ScriptedConnections", provider, { gaps: ["mistaken"] })

type Service = Connections["Service"]

/** The clauses that a provider breaks. */
const brokenBy = (decorate: (sound: Service) => Service) =>
  Effect.gen(function* () {
    const connections = decorate(yield* Connections)
    const exits = yield* Effect.forEach(
      Contract.clauses.filter(({ needs }) => !needs.includes("mistaken")),
      (clause) =>
        Effect.map(Effect.exit(Effect.provideService(clause.holds, Connections, connections)), (exit) =>
          Exit.isFailure(exit) ? [clause.name] : []
        )
    )
    return exits.flat()
  }).pipe(Effect.provide(provider, { local: true }))

/** Ways to get it wrong, each with a word from the clause that must notice. */
const mutants: ReadonlyArray<readonly [string, string, (sound: Service) => Service]> = [
  ["removes nothing", "removed account is gone", (sound) => ({ ...sound, remove: () => Effect.void })],
  ["does not disable", "disabled account hands out nothing", (sound) => ({ ...sound, disable: () => Effect.void })],
  ["does not enable", "keeps its credential", (sound) => ({ ...sound, enable: () => Effect.void })],
  ["counts everything", "filters keep what they name", (sound) => ({ ...sound, count: () => sound.count() })],
  [
    "forgets the cursor",
    "each once",
    (sound) => ({
      ...sound,
      list: (options) => Effect.map(sound.list(options), (page) => ({ ...page, nextCursor: undefined }))
    })
  ],
  [
    "hands out any token",
    "what was given",
    (sound) => ({ ...sound, accessToken: (id) => Effect.as(sound.credential(id), Redacted.make("another")) })
  ],
  [
    "begins a consent when a token is asked for",
    "asking begins no consent",
    (sound) => ({
      ...sound,
      accessToken: (id) => Effect.tapError(sound.accessToken(id), () => Effect.ignore(sound.link(id)))
    })
  ],
  [
    "finds any account",
    "ACTIVE one before others",
    (sound) => ({
      ...sound,
      find: ({ authConfigId, userId }) =>
        Effect.map(
          sound.list({ authConfigIds: [authConfigId], userIds: [userId], statuses: ["INITIALIZING"] }),
          (page) => Array.head(page.items)
        )
    })
  ],
  [
    "shows the secrets of an auth config",
    "without its secrets",
    (sound) => ({
      ...sound,
      authConfigs: {
        ...sound.authConfigs,
        register: (config) =>
          Effect.map(sound.authConfigs.register(config), (shown) => ({
            ...shown,
            toolkit: Redacted.value(config.secrets["client_secret"] ?? Redacted.make(""))
          }))
      }
    })
  ],
  [
    "removes a config that has accounts",
    "no accounts",
    (sound) => ({ ...sound, authConfigs: { ...sound.authConfigs, remove: () => Effect.void } })
  ]
]

describe("the contract of Connections", () => {
  it.effect("holds for the sound provider", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* brokenBy((sound) => sound), [])
    })
  )

  for (const [what, clause, decorate] of mutants) {
    it.effect(`notices one that ${what}`, () =>
      Effect.gen(function* () {
        const broken = yield* brokenBy(decorate)
        assert.isTrue(
          broken.some((name) => name.includes(clause)),
          `only ${JSON.stringify(broken)}`
        )
      })
    )
  }
})

describe("ScriptedConnections", () => {
  const gmail = ConnectedAccountId.make("ca_4CkFF_cKATwg")
  const token = Effect.flatMap(Connections, ({ accessToken }) => Effect.map(accessToken(gmail), Redacted.value))

  it.effect("hands out another token after each renewal, and the given one until then", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      assert.strictEqual(yield* token, `token-1-of-${gmail}`)
      yield* (yield* ScriptedConnections).setCredential(gmail, {
        _tag: "AccessToken",
        token: Redacted.make("given"),
        tokenType: "Bearer",
        expiresAt: DateTime.makeUnsafe(0)
      })
      assert.strictEqual(yield* token, "given")
      assert.deepStrictEqual(yield* accounts.refresh(gmail), Ready.make({ id: gmail }))
      assert.strictEqual(yield* token, `token-2-of-${gmail}`)
    }).pipe(Effect.provide(layer({ accounts: [account({ id: gmail })] })))
  )

  it.effect("fails the next calls as it is told, and records them", () =>
    Effect.gen(function* () {
      const control = yield* ScriptedConnections
      const busy = new Unavailable({ message: "busy" })
      yield* control.failNext("accessToken", busy)
      yield* control.failNext("accessToken", busy)
      for (let time = 0; time < 2; time++) assert.strictEqual(yield* Effect.flip(token), busy)
      assert.strictEqual(yield* token, `token-1-of-${gmail}`)
      assert.deepStrictEqual(yield* control.operations, ["accessToken", "accessToken", "accessToken"])
    }).pipe(Effect.provide(layer({ accounts: [account({ id: gmail })] })))
  )
})
