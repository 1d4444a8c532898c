import { assert, describe, it } from "@effect/vitest"
import { AuthConfig } from "@rekindle/core"
import { AuthConfigJson } from "@rekindle/engine/AuthConfig"
import { ProviderProfile, strict } from "@rekindle/core/ProviderProfile"
import * as Providers from "@rekindle/engine/Providers"
import { OAuth2Settings } from "@rekindle/engine/OAuth2"
import { StaticSettings } from "@rekindle/engine/StaticCredential"
import { issuedTokens } from "@rekindle/engine/TokenResponse"
import { lifeOf } from "#engine/answer/Tokens.ts"
import * as Credential from "@rekindle/engine/Credential"
import { decide } from "@rekindle/engine/Verdict"
import { Duration, Effect, Redacted, Schema } from "effect"
import { readdirSync } from "node:fs"
import { keyProviders, providers as all } from "../docs/providers.ts"

const providers = all.map(([, provider]) => provider)
const named = providers.map((provider) => [provider.profile.name, provider] as const)

describe("a profile", () => {
  it("assumes the worst by default", () => {
    const profile = ProviderProfile.make({ name: "p", rotation: "single-use" })
    assert.deepStrictEqual(profile.deadToken, [])
    assert.deepStrictEqual(profile.transient, [])
    assert.deepStrictEqual(profile.tokenTypes, ["bearer", "dpop"])
    assert.isUndefined(profile.reuseWindow)
    assert.strictEqual(strict.rotation, "single-use")
    assert.isUndefined(strict.reuseWindow)
  })

  it.effect.each(named)("of %s survives being stored", ([, { profile }]) =>
    Effect.gen(function* () {
      const codec = Schema.fromJsonString(ProviderProfile)
      const stored = yield* Schema.encodeEffect(codec)(profile)
      assert.deepStrictEqual(yield* Schema.decodeEffect(codec)(stored), profile)
    })
  )
})

describe("the ready-made providers", () => {
  it("are those of the provider table, each with a name of its own", () => {
    assert.sameMembers(
      named.map(([name]) => name),
      [
        "google",
        "entra",
        "github-app",
        "github-oauth-app",
        "slack",
        "slack-user",
        "salesforce",
        "hubspot",
        "notion",
        "atlassian",
        "xero",
        "quickbooks",
        "zoom",
        "dropbox",
        "box",
        "linkedin",
        "x",
        "shopify",
        "linear",
        "discord",
        "spotify",
        "zendesk",
        "exact-online",
        "calendly",
        "ringcentral"
      ]
    )
  })

  it.each(named)("%s: renews within the token's life", (_, { profile }) => {
    const { accessTokenTtl, margin, minimumAge } = profile
    if (accessTokenTtl === undefined || accessTokenTtl === "never") return
    assert.isTrue(Duration.isLessThan(margin, accessTokenTtl))
    assert.isTrue(Duration.isLessThanOrEqualTo(minimumAge, Duration.subtract(accessTokenTtl, margin)))
  })

  it.each(named)("%s: has a reuse window only if its token dies with use", (_, { profile }) => {
    if (profile.reuseWindow === undefined) return
    assert.strictEqual(profile.rotation, "single-use")
    assert.isTrue(Duration.isGreaterThan(profile.reuseWindow, Duration.zero))
  })

  it.each(named)(
    "%s: its API is at hosts of its own, or at one that each account names",
    (_, { apiHosts = [], profile }) => {
      for (const host of apiHosts) {
        const [, attribute] = /^\{(.+)\}$/.exec(host) ?? []
        if (attribute === undefined) assert.match(host, /^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$/)
        else assert.isTrue(profile.keptFields?.includes(attribute))
      }
    }
  )

  it.each(named)("%s: has endpoints over https, and no host besides theirs", (_, { hosts, settings }) => {
    assert.isDefined(settings.authorizationEndpoint)
    assert.isDefined(settings.tokenEndpoint)
    const { authorizationEndpoint, issuer, revocationEndpoint, tokenEndpoint } = settings
    const urls = [authorizationEndpoint, tokenEndpoint, revocationEndpoint, issuer]
      .filter((url) => url !== undefined)
      .map((url) => new URL(url))
    for (const url of urls) assert.strictEqual(url.protocol, "https:")
    assert.sameMembers([...hosts], [...new Set(urls.map((url) => url.host))])
  })

  it.each([
    [Providers.githubApp, { token_type: "bearer" }],
    [Providers.slack, { ok: true, token_type: "bot" }],
    [Providers.slackUser, { ok: true, token_type: "user" }]
  ] as const)("of tokens that may not expire assume no lifetime", ({ profile }, answer) => {
    const expiry = (body: Readonly<Record<string, unknown>>): number | null | undefined => {
      const tokens = issuedTokens({ ...answer, access_token: "at", ...body }, profile, 0)
      return tokens === undefined ? undefined : lifeOf(tokens, profile, Credential.empty).millis
    }
    assert.isNull(expiry({}))
    assert.strictEqual(expiry({ expires_in: 3600, refresh_token: "rt" }), 3_600_000)
  })

  it.effect.each(named)("%s: makes an auth config that decodes and survives being stored", ([name, provider]) =>
    Effect.gen(function* () {
      const config = provider.authConfig({ id: "c1", clientId: "client", clientSecret: "hush", scopes: ["a", "b"] })
      assert.strictEqual(config.scheme, "OAUTH2")
      assert.strictEqual(config.toolkit, name)
      assert.strictEqual(config.profile.name, name)
      const settings = yield* Schema.decodeUnknownEffect(OAuth2Settings)(config.settings)
      assert.strictEqual(settings.clientId, "client")
      assert.strictEqual(Redacted.value(config.secrets["client_secret"] ?? Redacted.make("")), "hush")
      assert.notInclude(JSON.stringify(config), "hush")
      const stored = yield* Schema.encodeEffect(AuthConfigJson)(config)
      const read = yield* Schema.decodeEffect(AuthConfigJson)(stored)
      assert.deepStrictEqual({ ...read, secrets: {} }, { ...config, secrets: {} })
      assert.strictEqual(yield* Schema.encodeEffect(AuthConfigJson)(read), stored)
    })
  )

  it.each(named)("%s: states how long an access token lives, or that it does not expire", (_, { profile }) => {
    assert.isDefined(profile.accessTokenTtl)
  })

  it("have a file each, with sources, a date and facts", () => {
    const directory = new URL("../../src/providers/", import.meta.url)
    const files = readdirSync(directory).filter((file) => /^[a-z]/.test(file))
    const everyone = [...providers, ...keyProviders.map(([, provider]) => provider)]
    // Bot and user tokens of Slack share a file.
    assert.lengthOf(files, everyone.length - 1)
    for (const { about } of everyone) {
      if (about === undefined) return assert.fail("nothing is said")
      assert.match(about.checked ?? "", /^20\d\d-\d\d-\d\d$/, about.title)
      assert.isNotEmpty(about.sources, about.title)
      assert.isNotEmpty(Object.keys(about.facts), about.title)
    }
  })
})

describe("answers that deviate from the RFC", () => {
  const busy = "token request is already being processed"
  const loop =
    "AADSTS50196: The server terminated an operation because it encountered a loop while processing a request."
  const throttled = "AADSTS90055: There are too many incoming requests."
  const lostGrant = { error: "unauthorized_client", error_description: "refresh_token is invalid" }

  it.each([
    [Providers.salesforce(), 400, { error: "invalid_grant", error_description: busy }, "Transient"],
    [
      Providers.salesforce(),
      400,
      { error: "invalid_grant", error_description: "expired access/refresh token" },
      "Dead"
    ],
    [Providers.entra(), 400, { error: "invalid_grant", error_description: loop }, "Transient"],
    [Providers.entra(), 400, { error: "invalid_grant", error_description: throttled }, "Transient"],
    [Providers.atlassian, 403, lostGrant, "Dead"],
    [Providers.atlassian, 403, { error: "unauthorized_client" }, "AppFault"],
    [Providers.zoom, 400, { reason: "Invalid Token!", error: "invalid_request" }, "Dead"],
    [Providers.zoom, 400, { reason: "Invalid authorization code", error: "invalid_request" }, "Misconfigured"]
  ] as const)("are recognized", ({ profile }, status, body, verdict) => {
    const answer = { contentType: "application/json", retryAfter: undefined, body: JSON.stringify(body), receivedAt: 0 }
    assert.strictEqual(decide({ _tag: "Answer", status, ...answer }, profile)._tag, verdict)
  })
})

describe("a registration", () => {
  it("adds the application's part to the provider's settings", () => {
    const config = Providers.google.authConfig({
      id: "g",
      clientId: "c",
      scopes: ["https://www.googleapis.com/auth/calendar"],
      projectId: "p2"
    })
    assert.deepInclude(config.settings, {
      ...Providers.google.settings,
      clientId: "c",
      scopes: ["https://www.googleapis.com/auth/calendar"]
    })
    assert.deepStrictEqual(config.hosts, ["accounts.google.com", "oauth2.googleapis.com"])
    assert.strictEqual(config.projectId, "p2")
    assert.deepStrictEqual(config.secrets, {})
  })

  it("replaces single settings and facts, and updates the hosts", () => {
    const config = Providers.exactOnline.authConfig({
      id: "e",
      clientId: "c",
      settings: {
        authorizationEndpoint: "https://start.exactonline.de/api/oauth2/auth",
        tokenEndpoint: "https://start.exactonline.de/api/oauth2/token"
      },
      profile: { rotation: "none" }
    })
    assert.deepStrictEqual(config.hosts, ["start.exactonline.de"])
    assert.strictEqual(config.settings["clientAuth"], "basic")
    assert.strictEqual(config.profile.rotation, "none")
    assert.deepStrictEqual(config.profile.deadToken, Providers.exactOnline.profile.deadToken)
  })

  it("adds parameters to the provider's, and removes those that are null", () => {
    const authorizationParameters = (changes: Record<string, string | null>) =>
      Providers.google.authConfig({ id: "g", clientId: "c", settings: { authorizationParameters: changes } }).settings[
        "authorizationParameters"
      ]
    assert.deepStrictEqual(authorizationParameters({ hd: "example.com" }), {
      access_type: "offline",
      prompt: "consent",
      hd: "example.com"
    })
    assert.deepStrictEqual(authorizationParameters({ prompt: "select_account" }), {
      access_type: "offline",
      prompt: "select_account"
    })
    assert.deepStrictEqual(authorizationParameters({ prompt: null }), { access_type: "offline" })
    const headers = Providers.notion.authConfig({ id: "n", clientId: "c", settings: { tokenHeaders: { "x-a": "b" } } })
    assert.deepStrictEqual(headers.settings["tokenHeaders"], { "notion-version": "2022-06-28", "x-a": "b" })
    const user = Providers.slackUser.authConfig({
      id: "s",
      clientId: "c",
      scopes: ["chat:write"],
      settings: { authorizationParameters: { team: "T1" } }
    })
    assert.deepStrictEqual(user.settings["authorizationParameters"], { team: "T1", user_scope: "chat:write" })
    const probe = Providers.anthropic.authConfig({ id: "a", settings: { probeHeaders: { "x-a": "b" } } })
    assert.deepStrictEqual(probe.settings["probeHeaders"], { "anthropic-version": "2023-06-01", "x-a": "b" })
  })

  it("ignores undefined values", () => {
    const { profile, settings } = Providers.xero.authConfig({
      id: "x",
      clientId: "c",
      settings: { clientAuth: undefined, authorizationParameters: undefined },
      profile: { margin: undefined }
    })
    assert.deepStrictEqual(settings, { ...Providers.xero.settings, clientId: "c" })
    assert.deepStrictEqual(profile, Providers.xero.profile)
  })

  it("accepts further secrets and a secret that is redacted already", () => {
    const config = Providers.xero.authConfig({
      id: "x",
      clientId: "c",
      clientSecret: Redacted.make("s"),
      secrets: { private_key: Redacted.make("k") },
      settings: { clientAuth: "private_key_jwt" }
    })
    assert.deepStrictEqual(Object.keys(config.secrets).toSorted(), ["client_secret", "private_key"])
  })

  it("asks for Slack's user scopes in their own parameter", () => {
    const { settings } = Providers.slackUser.authConfig({
      id: "s",
      clientId: "c",
      scopes: ["chat:write", "users:read"]
    })
    assert.deepStrictEqual(settings["authorizationParameters"], { user_scope: "chat:write,users:read" })
    assert.isUndefined(settings["scopes"])
    assert.deepStrictEqual(
      Providers.slack.authConfig({ id: "s", clientId: "c", scopes: ["chat:write"] }).settings["scopes"],
      ["chat:write"]
    )
  })

  it.each([
    [Providers.entra(), "offline_access"],
    [Providers.atlassian, "offline_access"],
    [Providers.xero, "offline_access"],
    [Providers.x, "offline.access"],
    [Providers.salesforce(), "refresh_token"]
  ] as const)("adds the scope that a refresh token needs", (provider, offlineScope) => {
    const asked = (scopes?: ReadonlyArray<string>) =>
      provider.authConfig({ id: "o", clientId: "c", ...(scopes === undefined ? {} : { scopes }) }).settings["scopes"]
    assert.deepStrictEqual(asked(["read"]), ["read", offlineScope])
    assert.deepStrictEqual(asked([offlineScope, "read"]), [offlineScope, "read"])
    assert.isUndefined(asked())
  })

  it.each([
    [Providers.linkedin, false],
    [Providers.slack, false],
    [Providers.slackUser, false],
    [Providers.google, undefined]
  ] as const)("leaves PKCE out only for a provider that refuses it from a client with a secret", (provider, pkce) => {
    assert.strictEqual(provider.authConfig({ id: "p", clientId: "c" }).settings["pkce"], pkce)
  })

  it("refuses a malformed id, in one line", () => {
    assert.throws(
      () => Providers.google.authConfig({ id: "no spaces", clientId: "c" }),
      /^AuthConfig: id: Expected 1 to 64 letters, digits, - or _$/
    )
  })
})

describe("a provider with a host for each customer", () => {
  it("has the customer's name in its hosts", () => {
    assert.deepStrictEqual(Providers.shopify("acme-shop").hosts, ["acme-shop.myshopify.com"])
    assert.deepStrictEqual(Providers.zendesk("acme").hosts, ["acme.zendesk.com"])
    assert.deepStrictEqual(Providers.salesforce("acme").hosts, ["acme.my.salesforce.com"])
    assert.deepStrictEqual(Providers.salesforce("acme--dev.sandbox").hosts, ["acme--dev.sandbox.my.salesforce.com"])
    assert.deepStrictEqual(Providers.salesforce().hosts, ["login.salesforce.com"])
    assert.deepStrictEqual(Providers.salesforce("test").hosts, ["test.salesforce.com"])
    assert.include(Providers.entra("contoso.com").settings.tokenEndpoint, "/contoso.com/")
  })

  it.each([
    "evil.example/",
    "evil.example#",
    "evil.example?",
    "a@evil.example",
    "evil.example:8443",
    "",
    "a b",
    "Ä",
    "a\\b",
    "..",
    "x/../y"
  ])("cannot be redirected to another host by %j", (name) => {
    assert.throws(() => Providers.shopify(name), /^the customer's name: Expected one domain label: [^\n]+$/)
    assert.throws(() => Providers.zendesk(name), /^the customer's name: Expected one domain label: [^\n]+$/)
    assert.throws(
      () => Providers.salesforce(name),
      /^the customer's domain: Expected one or two domain labels: [^\n]+$/
    )
    const tenant = Providers.entra(name)
    assert.deepStrictEqual(tenant.hosts, ["login.microsoftonline.com"])
  })
})

describe("the ready-made API keys", () => {
  const keys = {
    openai: Providers.openai,
    anthropic: Providers.anthropic,
    stripe: Providers.stripe,
    sendgrid: Providers.sendgrid
  }

  it.effect.each(Object.entries(keys))(
    "%s: makes an auth config whose probe goes to its own host",
    ([name, provider]) =>
      Effect.gen(function* () {
        const config = provider.authConfig({ id: "k1" })
        assert.isTrue(Schema.is(AuthConfig)(config))
        assert.deepInclude(config, { scheme: "API_KEY", toolkit: name })
        const settings = yield* Schema.decodeUnknownEffect(StaticSettings)(config.settings)
        assert.deepStrictEqual(config.hosts, [new URL(settings.probeUrl ?? "").host])
        assert.strictEqual(new URL(settings.probeUrl ?? "").protocol, "https:")
      })
  )

  it("can use the host of a key's region", () => {
    const probeUrl = "https://eu.api.openai.com/v1/models"
    const { hosts, settings } = Providers.openai.authConfig({ id: "k1", settings: { probeUrl } })
    assert.deepStrictEqual(hosts, ["eu.api.openai.com"])
    assert.deepStrictEqual(settings, { ...Providers.openai.settings, probeUrl })
  })
})
