/** Mistakes in a registration that would otherwise show at the first refresh, or never. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, Connections, CurrentProject, CustomAuthScheme } from "@rekindle/core"
import { AuthConfigs, type AuthStrategy, Engine } from "@rekindle/engine"
import { Effect, Exit, Layer, Redacted } from "effect"
import { authConfig, refresh, scenario, secretsOf, vault, Wire, probeUrl } from "./support/ScriptedEngine.ts"

const redacted = (secrets: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, Redacted.make(value)]))

const settings = {
  clientId: "client",
  tokenEndpoint: "https://provider.test/token",
  authorizationEndpoint: "https://provider.test/authorize"
}

/** The egress allows plain http to this host only. */
const inScenario = scenario({ egress: { privateHosts: ["inside.test:8080"] } })

const refusal = (overrides: Partial<Parameters<typeof AuthConfig.make>[0]>) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip((yield* Connections).authConfigs.register(authConfig("c", {}, overrides)))
    return error._tag === "InvalidRequest" ? error.errors : assert.fail(error._tag)
  })

const missing = "it is missing, and so is issuer"

describe("a registration is refused, with the field named, for", () => {
  const cases: ReadonlyArray<
    readonly [what: string, overrides: Parameters<typeof refusal>[0], field: string, message: string]
  > = [
    [
      "plain http",
      { settings: { ...settings, tokenEndpoint: "http://provider.test/token" } },
      "settings.tokenEndpoint",
      "plain_http: provider.test would be reached over plain http; egress.privateHosts can allow it"
    ],
    [
      "no way to consent",
      { settings: { clientId: "c", tokenEndpoint: settings.tokenEndpoint } },
      "settings.authorizationEndpoint",
      missing
    ],
    [
      "no token endpoint",
      { settings: { clientId: "c", authorizationEndpoint: settings.authorizationEndpoint } },
      "settings.tokenEndpoint",
      missing
    ],
    [
      "pushed requests without their endpoint",
      { settings: { ...settings, pushedRequests: true } },
      "settings.pushedRequestEndpoint",
      missing
    ],
    [
      "a misspelt setting",
      { settings: { ...settings, authorisationEndpoint: settings.authorizationEndpoint } },
      "settings.authorisationEndpoint",
      "unknown field; did you mean authorizationEndpoint?"
    ],
    [
      "a host that it does not declare",
      { settings: { ...settings, tokenEndpoint: "https://elsewhere.test/token" } },
      "settings.tokenEndpoint",
      "host_not_declared: elsewhere.test is not among the hosts of the auth config"
    ],
    ...[" https://provider.test/token", "https:/provider.test/token", "https:\\\\provider.test/token", "/token"].map(
      (tokenEndpoint) =>
        [
          `${JSON.stringify(tokenEndpoint)} for a url`,
          { settings: { ...settings, tokenEndpoint } },
          "settings.tokenEndpoint",
          "Expected an absolute http(s) url without credentials in it"
        ] as const
    ),
    [
      "a misspelt secret",
      { secrets: redacted({ clientSecret: "s3cret" }) },
      "secrets.clientSecret",
      "unknown field; did you mean client_secret?"
    ],
    [
      "a secret with a line break in it",
      { secrets: redacted({ client_secret: "s3\ncret" }) },
      "secrets.client_secret",
      "it has a control character in it, such as a line break"
    ],
    [
      "no secret where one is needed",
      { settings: { ...settings, clientAuth: "post" }, secrets: {} },
      "secrets.client_secret",
      "it is missing"
    ],
    [
      "a key that is none",
      { settings: { ...settings, clientAuth: "private_key_jwt" }, secrets: redacted({ private_key: "s3cret" }) },
      "secrets.private_key",
      "not a PKCS #8 or JWK private key for RS256"
    ],
    [
      "a scheme that nothing handles",
      { scheme: CustomAuthScheme.make("KERBEROS") },
      "scheme",
      "it has no strategy here"
    ]
  ]

  for (const [what, overrides, field, message] of cases) {
    it.effect(what, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* refusal(overrides), [`${field}: ${message}`])
      }).pipe(inScenario)
    )
  }

  it.effect("several mistakes at once, and none of them repeats a value", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        (yield* Connections).authConfigs.register(
          authConfig(
            "c",
            {},
            { settings: { clientId: 71, tokenEndpoint: "s3cret", tokenBody: "s3cret", scope: "s3cret" } }
          )
        )
      )
      assert.match(error.message, /^auth config c: [^\n]+$/)
      for (const field of ["clientId", "tokenEndpoint", "tokenBody", "scope"])
        assert.include(error.message, `settings.${field}: `)
      assert.include(error.message, "did you mean scopes?")
      assert.notInclude(error.message, "s3cret")
    }).pipe(inScenario)
  )

  it.effect("another scheme under an id in use, until the accounts have an id of their own", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const register = (config: AuthConfig) => connections.authConfigs.register(config)
      yield* register(authConfig("mail"))
      const other = authConfig("mail", {}, { scheme: "API_KEY", settings: {}, secrets: {} })
      const error = yield* Effect.flip(register(other))
      assert.include(error.message, "scheme: it is registered with the scheme OAUTH2")
      yield* register({ ...other, id: "mail-keys" })
      yield* register(authConfig("mail", { rotation: "none" }))
    }).pipe(inScenario)
  )
})

describe("a registration is taken", () => {
  it.effect("over plain http, where the egress allows the host", () =>
    Effect.gen(function* () {
      const inside = "http://inside.test:8080"
      const allowed = { clientId: "c", tokenEndpoint: `${inside}/token`, authorizationEndpoint: `${inside}/authorize` }
      yield* (yield* Connections).authConfigs.register(
        authConfig("c", {}, { settings: allowed, hosts: ["inside.test:8080"] })
      )
    }).pipe(inScenario)
  )

  it.effect("with its secrets cleaned", () =>
    Effect.gen(function* () {
      yield* (yield* Connections).authConfigs.register(
        authConfig("cleaned", {}, { secrets: redacted({ client_secret: " secret\r\n" }) })
      )
      const config = yield* (yield* AuthConfigs).load({
        projectId: CurrentProject.defaultValue(),
        authConfigId: "cleaned"
      })
      assert.strictEqual(Redacted.value(config.secrets["client_secret"] ?? Redacted.make("")), "secret")
    }).pipe(inScenario)
  )

  it.effect("with settings and secrets of a scheme of the user's own, as they are", () =>
    Effect.gen(function* () {
      const scheme = CustomAuthScheme.make("HOUSE")
      const connections = yield* Connections
      yield* connections.authConfigs.register(
        AuthConfig.make({
          id: "own",
          toolkit: "t",
          scheme,
          hosts: [],
          settings: { any: 1 },
          secrets: redacted({ x: " y " })
        })
      )
      const { id } = yield* connections.create({ authConfigId: "own", userId: "u", secrets: redacted({ z: " \n" }) })
      assert.deepStrictEqual(yield* secretsOf(id), { z: " \n" })
    }).pipe(
      scenario({
        engine: {
          strategies: [
            Effect.succeed<AuthStrategy>({ scheme: CustomAuthScheme.make("HOUSE"), check: () => Effect.succeed([]) })
          ]
        }
      })
    )
  )
})

describe("an engine does not start with a callbackUrl that no provider can send people back to:", () => {
  for (const callbackUrl of ["not a url", "/callback", "ftp://a.test/", "https://a.test/#top", "https://u:p@a.test/"]) {
    it.live(callbackUrl, () =>
      Effect.gen(function* () {
        const built = yield* Effect.exit(
          Effect.scoped(
            Layer.build(Engine.layerSqlite(":memory:", { consent: { callbackUrl } }).pipe(Layer.provide(vault)))
          )
        )
        assert.isTrue(Exit.isFailure(built))
        assert.include(String(built), "consent.callbackUrl has to be an absolute http(s) url")
        assert.notInclude(String(built), callbackUrl)
      })
    )
  }
})

describe("a credential", () => {
  const keys = authConfig("keys", {}, { scheme: "API_KEY", settings: { probeUrl, keyHeader: "x-key" }, secrets: {} })
  const logins = authConfig("logins", {}, { scheme: "BASIC", settings: {}, secrets: {} })
  const create = (config: AuthConfig, secrets: Readonly<Record<string, string>>) =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(config)
      return yield* connections.create({ authConfigId: config.id, userId: "u", secrets: redacted(secrets) })
    })

  it.effect("that ends in a line break works", () =>
    Effect.gen(function* () {
      const { id } = yield* create(keys, { api_key: " sk_live_1\r\n" })
      assert.strictEqual((yield* refresh(id, { validateCredentials: true }))._tag, "Ready")
      yield* (yield* Connections).replaceSecrets(id, redacted({ api_key: "sk_live_2\n" }))
      assert.strictEqual((yield* refresh(id, { validateCredentials: true }))._tag, "Ready")
      assert.deepStrictEqual((yield* Wire).probed, ["sk_live_1", "sk_live_2"])
    }).pipe(scenario())
  )

  it.effect("of a person keeps the spaces that are part of it", () =>
    Effect.gen(function* () {
      const { id } = yield* create(logins, { username: "ada", password: " correct horse \n" })
      assert.deepStrictEqual(yield* secretsOf(id), { username: "ada", password: " correct horse " })
      const empty = yield* create(logins, { username: "sk_live", password: "" })
      assert.deepStrictEqual(yield* secretsOf(empty.id), { username: "sk_live", password: "" })
    }).pipe(scenario())
  )

  for (const [what, config, secrets, line] of [
    ["a misspelt name", keys, { apikey: "s3cret" }, "secrets.apikey: unknown field; did you mean api_key?"],
    ["nothing in it", keys, { api_key: " \n" }, "secrets.api_key: it is empty"],
    [
      "a line break in it",
      keys,
      { api_key: "s3\ncret" },
      "secrets.api_key: it has a control character in it, such as a line break"
    ],
    [
      "a character that no header can carry",
      keys,
      { api_key: "s3cret–1" },
      "secrets.api_key: it has a character in it that no header can carry"
    ],
    [
      "a control character in a password",
      logins,
      { username: "ada", password: "s3\u0000cret" },
      "secrets.password: it has a control character in it, such as a line break"
    ],
    ["no user name", logins, { password: "s3cret" }, "secrets.username: it is missing"],
    [
      "no token",
      authConfig("oauth"),
      { id_token: "s3cret" },
      "secrets.access_token: it is missing, and so is refresh_token"
    ]
  ] as const) {
    it.effect(`with ${what} is refused at creation and replacement, and not repeated`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(create(config, secrets))
        if (error._tag !== "InvalidRequest") return assert.fail(error._tag)
        assert.strictEqual(error.slug, "invalid_secrets")
        assert.include([...(error.errors ?? [])], line)
        assert.notInclude(JSON.stringify(error), "s3")
        const right =
          config === keys ? { api_key: "k" } : config === logins ? { username: "u" } : { refresh_token: "r" }
        const { id } = yield* create(config, right)
        const again = yield* Effect.flip((yield* Connections).replaceSecrets(id, redacted(secrets)))
        assert.strictEqual(again._tag, "InvalidRequest")
        assert.deepStrictEqual(yield* secretsOf(id), right)
      }).pipe(scenario())
    )
  }
})
