import { assert, describe, it, layer } from "@effect/vitest"
import type { AuthConfig } from "@rekindle/engine/AuthConfig"
import type { AuthStrategy, Connection } from "@rekindle/engine/AuthStrategy"
import { strict } from "@rekindle/engine/ProviderProfile"
import * as OAuth2 from "@rekindle/engine/strategies/OAuth2"
import { decide, type Observation } from "@rekindle/engine/Verdict"
import { Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync } from "node:crypto"
import { AuthorizationServer, callbackUrl, clientId, clientSecret } from "../support/AuthorizationServer.ts"
import { config as configOf, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const redirects = {
  redirect_uris: [callbackUrl],
  grant_types: ["authorization_code", "refresh_token"]
}
const clients = [
  { client_id: "poster", client_secret: "post-secret", token_endpoint_auth_method: "client_secret_post", ...redirects },
  { client_id: "public", token_endpoint_auth_method: "none", ...redirects },
  {
    client_id: "signer",
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: "ES256",
    jwks: { keys: [{ ...pair.publicKey.export({ format: "jwk" }), kid: "k1", use: "sig" }] },
    ...redirects
  },
  { client_id: "pusher", client_secret: "push-secret", require_pushed_authorization_requests: true, ...redirects },
  { client_id: "bound", client_secret: "bound-secret", dpop_bound_access_tokens: true, ...redirects }
] as const

const renewalOf = (strategy: AuthStrategy) => strategy.renewal ?? assert.fail("no renewal")
const consentOf = (strategy: AuthStrategy) => strategy.consent ?? assert.fail("no consent")

const tokensOf = (observation: Observation) => {
  const verdict = decide(observation, strict)
  return verdict._tag === "Renewed" ? verdict.tokens : assert.fail(JSON.stringify({ verdict, observation }))
}

const state = "the-state"

/** Consent from the link to the tokens. */
const consented = Effect.fnUntraced(function* (
  connection: Connection,
  change: (callback: URL, memo: Record<string, string>) => void = () => {}
) {
  const server = yield* AuthorizationServer
  const consent = consentOf(yield* OAuth2.make)
  const { memo, url } = yield* consent.authorize(connection, { callbackUrl, state })
  const callback = yield* server.consent(url)
  const changed = { ...memo }
  change(callback, changed)
  return yield* consent.complete(connection, { callbackUrl, state, parameters: callback.searchParams, memo: changed })
})

const configFor = Effect.fnUntraced(function* (
  settings: Record<string, string | boolean | ReadonlyArray<string>>,
  secrets: Record<string, string> = {}
) {
  const server = yield* AuthorizationServer
  const base = server.authConfig()
  return server.authConfig({
    settings: { ...base.settings, ...settings },
    secrets: Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, Redacted.make(value)]))
  })
})

layer(Layer.merge(AuthorizationServer.layer({ clients }), egress), { excludeTestServices: true })("OAUTH2", (it) => {
  describe("client authentication", () => {
    for (const { name, secrets, settings } of [
      {
        name: "basic, with a secret that needs escaping",
        settings: { clientId },
        secrets: { client_secret: clientSecret }
      },
      { name: "post", settings: { clientId: "poster", clientAuth: "post" }, secrets: { client_secret: "post-secret" } },
      { name: "none", settings: { clientId: "public", clientAuth: "none" }, secrets: {} },
      {
        name: "private_key_jwt with a PEM key",
        settings: { clientId: "signer", clientAuth: "private_key_jwt", signingAlgorithm: "ES256", signingKeyId: "k1" },
        secrets: { private_key: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString() }
      },
      {
        name: "private_key_jwt with a JWK",
        settings: { clientId: "signer", clientAuth: "private_key_jwt", signingAlgorithm: "ES256" },
        secrets: { private_key: JSON.stringify(pair.privateKey.export({ format: "jwk" })) }
      }
    ]) {
      it.effect(`${name}: consents, renews and revokes`, () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const strategy = yield* OAuth2.make
          const issuer = settings.clientId === "signer" ? { issuer: server.issuer } : {}
          const config = yield* configFor({ ...settings, ...issuer }, secrets)
          yield* strategy.check(config)
          const { observation } = yield* consented(connect(config))
          const first = Redacted.value(tokensOf(observation).refreshToken ?? assert.fail("no refresh token"))

          const renewed = tokensOf(yield* renewalOf(strategy).send(connect(config, { refresh_token: first })))
          assert.isTrue(yield* server.isAccessTokenAlive(Redacted.value(renewed.accessToken)))
          const second = Redacted.value(renewed.refreshToken ?? assert.fail("no refresh token"))
          assert.notStrictEqual(second, first)

          yield* strategy.revoke?.(connect(config, { refresh_token: second })) ?? assert.fail("no revocation")
          assert.isFalse(yield* server.isRefreshTokenAlive(second))
        })
      )
    }

    it.effect("a wrong secret is the application's fault, and spends nothing", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const config = yield* configFor({}, { client_secret: "wrong" })
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: refreshToken }))
        assert.deepStrictEqual(decide(seen, strict), { _tag: "AppFault", code: "invalid_client" })
        assert.isTrue(yield* server.isRefreshTokenAlive(refreshToken))
      })
    )

    it.effect("a missing secret and an unreadable key are found before anything is sent", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { requests } = server.tally()
        const renewal = renewalOf(yield* OAuth2.make)
        for (const config of [
          yield* configFor({ clientAuth: "post" }),
          yield* configFor({ clientAuth: "private_key_jwt" }),
          yield* configFor({ clientAuth: "private_key_jwt" }, { private_key: "no key" })
        ]) {
          assert.strictEqual((yield* renewal.send(connect(config, { refresh_token: "rt" })))._tag, "NotSent")
        }
        assert.strictEqual(server.tally().requests, requests)
      })
    )
  })

  describe("endpoints", () => {
    it.effect("are discovered from the issuer alone", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const strategy = yield* OAuth2.make
        const config = server.authConfig({ settings: { issuer: server.issuer, clientId, scopes: ["openid"] } })
        const { observation } = yield* consented(connect(config))
        const token = Redacted.value(tokensOf(observation).refreshToken ?? assert.fail("no refresh token"))
        tokensOf(yield* renewalOf(strategy).send(connect(config, { refresh_token: token })))
      })
    )

    it.effect("given for renewal make it independent of discovery", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        const config = yield* configFor({ issuer: "http://127.0.0.1:1" }, { client_secret: clientSecret })
        tokensOf(yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: refreshToken })))
      })
    )

    it.effect("on a host the config does not declare get nothing", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { requests } = server.tally()
        const config = { ...server.authConfig(), hosts: ["example.com"] }
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: "rt" }))
        assert.strictEqual(seen._tag, "NotSent")
        assert.strictEqual(server.tally().requests, requests)
      })
    )

    it.effect("must be there in one way or the other", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const config = server.authConfig({ settings: { clientId } })
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: "rt" }))
        assert.strictEqual(seen._tag, "NotSent")
        const error = yield* Effect.flip(
          consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
        )
        assert.strictEqual(error.reason, "misconfigured")
      })
    )
  })

  describe("renewal", () => {
    it.effect("of a spent token is dead", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const renewal = renewalOf(yield* OAuth2.make)
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        const connection = connect(server.authConfig(), { refresh_token: refreshToken })
        assert.strictEqual(Redacted.value(renewal.spends(connection) ?? assert.fail("nothing")), refreshToken)
        tokensOf(yield* renewal.send(connection))
        assert.deepStrictEqual(decide(yield* renewal.send(connection), strict), { _tag: "Dead", code: "invalid_grant" })
      })
    )

    it.effect("has nothing to spend without a refresh token", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        assert.isUndefined(renewalOf(yield* OAuth2.make).spends(connect(server.authConfig())))
      })
    )

    it.effect("sends exactly one request, whatever becomes of it", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const renewal = renewalOf(yield* OAuth2.make)
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        const { requests } = server.tally()
        yield* server.disturb({ _tag: "LoseAnswer" }, 1)
        const seen = yield* renewal.send(connect(server.authConfig(), { refresh_token: refreshToken }))
        assert.strictEqual(seen._tag, "NoAnswer")
        assert.strictEqual(server.tally().requests - requests, 1)
        assert.isFalse(yield* server.isRefreshTokenAlive(refreshToken))
      })
    )
  })

  describe("consent", () => {
    it.effect("carries state, PKCE and the further parameters, and no verifier", () =>
      Effect.gen(function* () {
        const config = yield* configFor({ scopes: ["a", "b"], scopeSeparator: "," }, { client_secret: clientSecret })
        const strategy = yield* OAuth2.make
        const { memo, url } = yield* consentOf(strategy).authorize(
          connect({ ...config, settings: { ...config.settings, authorizationParameters: { access_type: "offline" } } }),
          { callbackUrl, state }
        )
        const parameters = Object.fromEntries(new URL(url).searchParams)
        assert.deepInclude(parameters, {
          state,
          scope: "a,b",
          access_type: "offline",
          response_type: "code",
          redirect_uri: callbackUrl,
          code_challenge_method: "S256"
        })
        assert.notInclude(url, memo["code_verifier"] ?? assert.fail("no verifier"))
      })
    )

    it.effect("is completed only with the verifier it was begun with", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { observation } = yield* consented(connect(server.authConfig()), (_, memo) => {
          memo["code_verifier"] = "v".repeat(43)
        })
        assert.deepStrictEqual(decide(observation, strict), { _tag: "Dead", code: "invalid_grant" })
      })
    )

    it.effect("spends a code once", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connection = connect(server.authConfig())
        const consent = consentOf(yield* OAuth2.make)
        const { memo, url } = yield* consent.authorize(connection, { callbackUrl, state })
        const { searchParams: parameters } = yield* server.consent(url)
        const complete = Effect.map(
          consent.complete(connection, { callbackUrl, state, parameters, memo }),
          ({ observation }) => decide(observation, strict)._tag
        )
        assert.deepStrictEqual([yield* complete, yield* complete], ["Renewed", "Dead"])
      })
    )

    for (const { change, name } of [
      { name: "another state", change: (callback: URL) => callback.searchParams.set("state", "another") },
      { name: "no state", change: (callback: URL) => callback.searchParams.delete("state") },
      { name: "two states", change: (callback: URL) => callback.searchParams.append("state", "another") },
      { name: "another issuer", change: (callback: URL) => callback.searchParams.set("iss", "https://evil.example") },
      {
        name: "no issuer, from a server that promised one",
        change: (callback: URL) => callback.searchParams.delete("iss")
      },
      { name: "no code", change: (callback: URL) => callback.searchParams.delete("code") }
    ]) {
      it.effect(`is refused, with nothing sent, on a callback with ${name}`, () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const { requests } = server.tally()
          const config = yield* configFor({ issuer: server.issuer }, { client_secret: clientSecret })
          const error = yield* Effect.flip(consented(connect(config), change))
          assert.strictEqual(error.reason, "refused")
          assert.strictEqual(server.tally().requests, requests)
        })
      )
    }

    it.effect("that the person denies is denied", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const connection = connect(server.authConfig())
        const consent = consentOf(yield* OAuth2.make)
        const { memo, url } = yield* consent.authorize(connection, { callbackUrl, state })
        const { searchParams: parameters } = yield* server.deny(url)
        const error = yield* Effect.flip(consent.complete(connection, { callbackUrl, state, parameters, memo }))
        assert.deepStrictEqual([error.reason, error.code], ["denied", "access_denied"])
      })
    )

    it.effect("by pushed request leaves only a reference in the link", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        for (const settings of [
          { pushedRequestEndpoint: server.endpoints.pushedAuthorizationRequest },
          { issuer: server.issuer }
        ]) {
          const config = yield* configFor(
            { clientId: "pusher", pushedRequests: true, ...settings },
            { client_secret: "push-secret" }
          )
          const { url } = yield* consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
          assert.deepStrictEqual([...new URL(url).searchParams.keys()].toSorted(), ["client_id", "request_uri"])
          tokensOf((yield* consented(connect(config))).observation)
        }
      })
    )

    it.effect("by pushed request that the server refuses has no link", () =>
      Effect.gen(function* () {
        const config = yield* configFor({ clientId: "pusher", pushedRequests: true }, { client_secret: "push-secret" })
        const error = yield* Effect.flip(
          consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
        )
        assert.strictEqual(error.reason, "unavailable")
      })
    )
  })
})

for (const dpopNonce of [false, true]) {
  layer(Layer.merge(AuthorizationServer.layer({ clients, dpopNonce }), egress), { excludeTestServices: true })(
    dpopNonce ? "DPoP at a server that asks for nonces" : "DPoP",
    (it) => {
      it.effect("binds the tokens of consent and renewal to a key of the account's own", () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const renewal = renewalOf(yield* OAuth2.make)
          const config = yield* configFor({ clientId: "public", clientAuth: "none", dpop: true })
          const { observation, secrets = {} } = yield* consented(connect(config))
          const issued = tokensOf(observation)
          assert.strictEqual(issued.tokenType, "DPoP")
          assert.deepStrictEqual(issued.irregularities, [])
          const token = Redacted.value(issued.refreshToken ?? assert.fail("no refresh token"))

          // a public client's refresh token is bound (RFC 9449 §5): without the key, or with another, it is worth nothing
          const { secrets: others = {} } = yield* consented(connect(config))
          for (const wrong of [{}, others]) {
            const seen = yield* renewal.send(connect(config, { refresh_token: token, ...wrong }))
            assert.deepStrictEqual(decide(seen, strict)._tag, "Dead")
          }
          const seen = yield* renewal.send(connect(config, { refresh_token: token, ...secrets }))
          assert.strictEqual(tokensOf(seen).tokenType, "DPoP")
          assert.strictEqual(server.tally().replays, 0)
        })
      )

      it.effect("spends one grant per renewal", () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const config = yield* configFor({ clientId: "bound", dpop: true }, { client_secret: "bound-secret" })
          const { observation, secrets = {} } = yield* consented(connect(config))
          const token = Redacted.value(tokensOf(observation).refreshToken ?? assert.fail("no refresh token"))
          const before = server.tally()
          const connection = connect(config, { refresh_token: token, ...secrets })
          tokensOf(yield* renewalOf(yield* OAuth2.make).send(connection))
          const after = server.tally()
          assert.strictEqual(after.spent - before.spent, 1)
          assert.strictEqual(after.requests - before.requests, dpopNonce ? 2 : 1)
        })
      )
    }
  )
}

describe("token requests as they are sent", () => {
  const sent = Effect.fnUntraced(function* (settings: AuthConfig["settings"], secrets: Record<string, string> = {}) {
    const server = yield* HttpFixture.make(HttpFixture.json({ access_token: "at", token_type: "bearer" }))
    const config = configOf({
      scheme: "OAUTH2",
      settings: { tokenEndpoint: `${server.origin}/token`, clientId: "my-client.id", ...settings },
      secrets,
      hosts: [server.host]
    })
    const strategy = yield* OAuth2.make
    yield* strategy.check(config)
    const seen = yield* renewalOf(strategy).send(connect(config, { refresh_token: "rt/1+2" }))
    assert.strictEqual(seen._tag, "Answer")
    assert.lengthOf(server.requests, 1)
    return server.requests[0] ?? assert.fail("nothing was sent")
  }, Effect.provide(egress))

  it.live("are forms with a Basic header that escapes only what must be (RFC 6749 §2.3.1)", () =>
    Effect.gen(function* () {
      const { body, headers, method } = yield* sent({}, { client_secret: "se-cret_1.~ ä:+%" })
      assert.strictEqual(method, "POST")
      const basic = Buffer.from(headers.authorization?.replace("Basic ", "") ?? "", "base64").toString()
      assert.strictEqual(basic, "my-client.id:se-cret_1.%7E+%C3%A4%3A%2B%25")
      assert.match(headers["content-type"] ?? "", /^application\/x-www-form-urlencoded/)
      assert.deepStrictEqual(Object.fromEntries(new URLSearchParams(body)), {
        grant_type: "refresh_token",
        refresh_token: "rt/1+2"
      })
    })
  )

  it.live("are JSON where the provider wants it, with its own headers and parameters", () =>
    Effect.gen(function* () {
      const { body, headers } = yield* sent(
        {
          clientAuth: "post",
          tokenBody: "json",
          tokenHeaders: { "notion-version": "2022-06-28" },
          tokenParameters: { audience: "api" }
        },
        { client_secret: "s" }
      )
      assert.strictEqual(headers["content-type"], "application/json")
      assert.strictEqual(headers["notion-version"], "2022-06-28")
      assert.deepStrictEqual(JSON.parse(body), {
        grant_type: "refresh_token",
        refresh_token: "rt/1+2",
        client_id: "my-client.id",
        client_secret: "s",
        audience: "api"
      })
    })
  )
})

describe("settings", () => {
  it.effect.each([
    { name: "no client id", settings: { tokenEndpoint: "https://example.com/token" } },
    { name: "a token endpoint that is no url", settings: { clientId: "c", tokenEndpoint: "/token" } },
    {
      name: "an authorization endpoint that is no url",
      settings: { clientId: "c", authorizationEndpoint: "/authorize" }
    },
    { name: "an unknown client authentication", settings: { clientId: "c", clientAuth: "psychic" } }
  ])("with $name are refused, and say so", ({ settings }) =>
    Effect.gen(function* () {
      const strategy = yield* OAuth2.make
      const config = configOf({ scheme: "OAUTH2", settings, hosts: [] })
      const error = yield* Effect.flip(strategy.check(config))
      assert.strictEqual(error.authConfigId, "config")
      assert.include(error.message, "auth config config")
    }).pipe(Effect.provide(egress))
  )
})
