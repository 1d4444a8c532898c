import { assert, describe, it, layer } from "@effect/vitest"
import type { AuthConfig } from "@rekindle/core"
import type { AuthStrategy, Connection } from "@rekindle/engine/AuthStrategy"
import { Egress } from "@rekindle/engine/Egress"
import { strict } from "@rekindle/core/ProviderProfile"
import * as OAuth2 from "@rekindle/engine/OAuth2"
import { decide, type Observation } from "@rekindle/engine/Verdict"
import { Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { jwtVerify } from "jose"
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

    it.effect("a missing secret and an unreadable key are reported before anything is sent", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { requests } = server.tally()
        const renewal = renewalOf(yield* OAuth2.make)
        for (const config of [
          yield* configFor({ clientAuth: "post" }),
          yield* configFor({ clientAuth: "private_key_jwt" }),
          yield* configFor({ clientAuth: "private_key_jwt" }, { private_key: "no key" })
        ]) {
          assert.strictEqual((yield* renewal.send(connect(config, { refresh_token: "rt" })))._tag, "Refused")
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

    it.effect("in the settings make renewal independent of discovery", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        const config = yield* configFor({ issuer: "http://127.0.0.1:1" }, { client_secret: clientSecret })
        tokensOf(yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: refreshToken })))
      })
    )

    it.effect("on a host that the config does not declare receive nothing", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { requests } = server.tally()
        const config = { ...server.authConfig(), hosts: ["example.com"] }
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: "rt" }))
        assert.strictEqual(seen._tag, "Refused")
        assert.strictEqual(server.tally().requests, requests)
      })
    )

    it.effect("are required, in the settings or through an issuer", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const config = server.authConfig({ settings: { clientId } })
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: "rt" }))
        assert.strictEqual(seen._tag, "Refused")
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

    it.effect("sends exactly one request, whatever its outcome", () =>
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

    it.effect("is completed only with the verifier that it was started with", () =>
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

    for (const [parameters, reason] of [
      [{ error: "access_denied", code: "a-code" }, "denied"],
      [{ error: "invalid_scope", code: "a-code" }, "refused"],
      [{ error: "user_cancelled_login" }, "denied"],
      [{ error: "user_cancelled_authorize" }, "denied"],
      [{ error: "access-denied" }, "denied"],
      [{ error: "oem_cancelled_login" }, "denied"],
      [{ error: "user_denied" }, "denied"],
      [{ error: "interaction_required" }, "refused"],
      [{ code: "" }, "refused"],
      // RFC 6749 §4.1.2.1: an outage of the consent page is not a refusal
      [{ error: "temporarily_unavailable" }, "unavailable"],
      [{ error: "server_error" }, "unavailable"]
    ] as const) {
      it.effect(`is ${reason}, with nothing sent, by ${JSON.stringify(parameters)}`, () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const { requests } = server.tally()
          const error = yield* Effect.flip(
            consentOf(yield* OAuth2.make).complete(connect(server.authConfig()), {
              callbackUrl,
              state,
              parameters: new URLSearchParams({ state, ...parameters }),
              memo: { code_verifier: "v".repeat(43) }
            })
          )
          assert.strictEqual(error.reason, reason)
          assert.strictEqual(server.tally().requests, requests)
        })
      )
    }

    it.effect("is denied by an error that the settings list as a refusal", () =>
      Effect.gen(function* () {
        const config = yield* configFor({ deniedErrors: ["interaction_required"] }, { client_secret: clientSecret })
        const error = yield* Effect.flip(
          consentOf(yield* OAuth2.make).complete(connect(config), {
            callbackUrl,
            state,
            parameters: new URLSearchParams({ state, error: "interaction_required" }),
            memo: { code_verifier: "v".repeat(43) }
          })
        )
        assert.deepStrictEqual([error.reason, error.code], ["denied", "interaction_required"])
      })
    )

    it.effect("is refused on a callback with two codes", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const error = yield* Effect.flip(
          consented(connect(server.authConfig()), (callback) => callback.searchParams.append("code", "another"))
        )
        assert.strictEqual(error.reason, "refused")
      })
    )

    it.effect("is denied if the person refuses", () =>
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
          const { expiresIn, url } = yield* consentOf(yield* OAuth2.make).authorize(connect(config), {
            callbackUrl,
            state
          })
          assert.deepStrictEqual([...new URL(url).searchParams.keys()].toSorted(), ["client_id", "request_uri"])
          assert.strictEqual(expiresIn, 60)
          tokensOf((yield* consented(connect(config))).observation)
        }
      })
    )

    it.effect("by pushed request returns no link if the application is at fault, and reports that", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const pushedRequestEndpoint = server.endpoints.pushedAuthorizationRequest
        for (const [settings, secret, code] of [
          [{}, "push-secret", null],
          [{ pushedRequestEndpoint }, "wrong", "invalid_client"]
        ] as const) {
          const config = yield* configFor(
            { clientId: "pusher", pushedRequests: true, ...settings },
            { client_secret: secret }
          )
          const error = yield* Effect.flip(
            consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
          )
          assert.deepStrictEqual([error.reason, error.code], ["misconfigured", code])
        }
      })
    )

    it.effect("by pushed request is unavailable while the server is down or busy", () =>
      Effect.gen(function* () {
        for (const answer of [
          HttpFixture.json({ error: "slow_down" }, 429),
          HttpFixture.json({}, 503),
          HttpFixture.json({ no: "request_uri" }, 201)
        ]) {
          const { host, origin } = yield* HttpFixture.make(answer)
          const config = configOf({
            scheme: "OAUTH2",
            settings: {
              clientId: "c",
              tokenEndpoint: `${origin}/token`,
              authorizationEndpoint: `${origin}/authorize`,
              pushedRequests: true,
              pushedRequestEndpoint: `${origin}/par`
            },
            hosts: [host]
          })
          const error = yield* Effect.flip(
            consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
          )
          assert.strictEqual(error.reason, "unavailable")
        }
      })
    )

    it.effect("uses a pushed request by itself if the server's metadata require it", () =>
      Effect.gen(function* () {
        const server = yield* HttpFixture.make(({ path }, response) => {
          const { origin } = server
          HttpFixture.json(
            path === "/par"
              ? { request_uri: "urn:pushed", expires_in: 60 }
              : {
                  issuer: origin,
                  authorization_endpoint: `${origin}/authorize`,
                  token_endpoint: `${origin}/token`,
                  pushed_authorization_request_endpoint: `${origin}/par`,
                  require_pushed_authorization_requests: true
                },
            path === "/par" ? 201 : 200
          )({ method: "", path, headers: {}, body: "" }, response)
        })
        const config = configOf({
          scheme: "OAUTH2",
          settings: { issuer: server.origin, clientId: "c" },
          hosts: [server.host]
        })
        const { url } = yield* consentOf(yield* OAuth2.make).authorize(connect(config), { callbackUrl, state })
        assert.strictEqual(new URL(url).searchParams.get("request_uri"), "urn:pushed")
      })
    )
  })
})

for (const dpopNonce of [false, true]) {
  layer(Layer.merge(AuthorizationServer.layer({ clients, dpopNonce }), egress), { excludeTestServices: true })(
    dpopNonce ? "DPoP at a server that asks for nonces" : "DPoP",
    (it) => {
      it.effect("binds the tokens of consent and renewal to the account's own key", () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const renewal = renewalOf(yield* OAuth2.make)
          const config = yield* configFor({ clientId: "public", clientAuth: "none", dpop: true })
          const { observation, secrets = {} } = yield* consented(connect(config))
          const issued = tokensOf(observation)
          assert.strictEqual(issued.tokenType, "DPoP")
          assert.deepStrictEqual(issued.irregularities, [])
          const token = Redacted.value(issued.refreshToken ?? assert.fail("no refresh token"))

          // a public client's refresh token is bound (RFC 9449 §5): without the key, or with another key, it is useless
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

      it.effect("with a malformed key is not sent", () =>
        Effect.gen(function* () {
          const server = yield* AuthorizationServer
          const { requests } = server.tally()
          const renewal = renewalOf(yield* OAuth2.make)
          for (const dpop_key of ["no JSON", "{}", JSON.stringify({ kty: "oct", k: "c2VjcmV0" })]) {
            const seen = yield* renewal.send(connect(server.authConfig(), { refresh_token: "rt", dpop_key }))
            assert.strictEqual(seen._tag, "Refused")
          }
          assert.strictEqual(server.tally().requests, requests)
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
      settings: {
        tokenEndpoint: `${server.origin}/token`,
        authorizationEndpoint: `${server.origin}/authorize`,
        clientId: "my-client.id",
        ...settings
      },
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

  it.live("are forms with a Basic header that escapes only reserved characters (RFC 6749 §2.3.1)", () =>
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

  it.live("are JSON if the settings say so, with their headers and parameters", () =>
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

  it.effect("carry an assertion that the key signed, with the time of the engine's clock and an id of its own", () =>
    Effect.gen(function* () {
      const { privateKey, publicKey } = pair
      yield* TestClock.setTime(Date.UTC(2040, 0, 1))
      const settings = { clientAuth: "private_key_jwt", signingAlgorithm: "ES256", signingKeyId: "k1" }
      const secrets = { private_key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() }
      const ids = new Set<string>()
      for (let times = 0; times < 2; times++) {
        const { body, headers } = yield* sent(settings, secrets)
        const fields = new URLSearchParams(body)
        assert.strictEqual(fields.get("client_id"), "my-client.id")
        assert.isUndefined(headers.authorization)
        const { payload, protectedHeader } = yield* Effect.promise(() =>
          jwtVerify(fields.get("client_assertion") ?? "", publicKey, { currentDate: new Date(Date.UTC(2040, 0, 1)) })
        )
        assert.deepStrictEqual(protectedHeader, { alg: "ES256", kid: "k1" })
        const now = Date.UTC(2040, 0, 1) / 1000
        assert.deepInclude(payload, { iss: "my-client.id", sub: "my-client.id", iat: now, exp: now + 60 })
        assert.match(String(payload.aud), /\/token$/)
        ids.add(payload.jti ?? "")
      }
      assert.strictEqual(ids.size, 2)
    })
  )
})

describe("metadata", () => {
  /** A server with its metadata at one address, until they are removed. */
  const metadataServer = Effect.fnUntraced(function* (wellKnown: string, tenant = "") {
    const state = { down: false }
    const server = yield* HttpFixture.make((request, response) => {
      const issuer = `${server.origin}${tenant}`
      if (request.path === "/token") return HttpFixture.json({ access_token: "at" })(request, response)
      if (state.down) return void response.writeHead(503).end()
      if (request.path !== wellKnown) return void response.writeHead(404).end()
      HttpFixture.json({ issuer, token_endpoint: `${server.origin}/token` })(request, response)
    })
    const config = (settings: AuthConfig["settings"] = {}) =>
      configOf({
        scheme: "OAUTH2",
        settings: { issuer: `${server.origin}${tenant}`, clientId: "c", ...settings },
        hosts: [server.host]
      })
    return { server, state, config }
  })

  it.live("are found at the address of OpenID Connect and at that of RFC 8414", () =>
    Effect.gen(function* () {
      for (const wellKnown of [
        "/tenant/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant"
      ]) {
        const { config } = yield* metadataServer(wellKnown, "/tenant")
        const connection = connect(config(), { refresh_token: "rt" })
        assert.strictEqual((yield* renewalOf(yield* OAuth2.make).send(connection))._tag, "Answer", wellKnown)
      }
    }).pipe(Effect.provide(egress))
  )

  it.live("are not used if they are those of another issuer, or none at all", () =>
    Effect.gen(function* () {
      for (const body of [
        (origin: string) => JSON.stringify({ issuer: "https://evil.example", token_endpoint: `${origin}/token` }),
        (origin: string) => JSON.stringify({ token_endpoint: `${origin}/token` }),
        () => "[]",
        () => "<html>"
      ]) {
        const server = yield* HttpFixture.make((_, response) =>
          response.writeHead(200, { "content-type": "application/json" }).end(body(server.origin))
        )
        const config = configOf({
          scheme: "OAUTH2",
          settings: { issuer: server.origin, clientId: "c" },
          hosts: [server.host]
        })
        const seen = yield* renewalOf(yield* OAuth2.make).send(connect(config, { refresh_token: "rt" }))
        assert.strictEqual(seen._tag, "Refused")
        assert.deepStrictEqual(
          server.requests.map(({ path }) => path),
          ["/.well-known/openid-configuration"]
        )
      }
    }).pipe(Effect.provide(egress))
  )

  it.effect("are used for an hour, and longer while they cannot be fetched again", () =>
    Effect.gen(function* () {
      const { config, server, state } = yield* metadataServer("/.well-known/openid-configuration")
      const connection = connect(config(), { refresh_token: "rt" })
      const { send } = renewalOf(yield* OAuth2.make)
      const asked = () => server.requests.filter(({ path }) => path !== "/token").length
      yield* send(connection)
      yield* TestClock.adjust("59 minutes")
      yield* send(connection)
      assert.strictEqual(asked(), 1)
      yield* TestClock.adjust("2 minutes")
      state.down = true
      assert.strictEqual((yield* send(connection))._tag, "Answer")
      assert.strictEqual(asked(), 2)
    }).pipe(Effect.provide(egress))
  )

  it.live("are not needed to complete a consent whose endpoints are in the settings", () =>
    Effect.gen(function* () {
      const { config, server } = yield* metadataServer("/nowhere")
      const connection = connect(
        config({ tokenEndpoint: `${server.origin}/token`, authorizationEndpoint: `${server.origin}/authorize` })
      )
      const complete = (parameters: Record<string, string>) =>
        Effect.flatMap(OAuth2.make, (strategy) =>
          consentOf(strategy).complete(connection, {
            callbackUrl,
            state,
            parameters: new URLSearchParams({ state, code: "c", ...parameters }),
            memo: { code_verifier: "v".repeat(43) }
          })
        )
      tokensOf((yield* complete({})).observation)
      tokensOf((yield* complete({ iss: server.origin })).observation)
      assert.strictEqual((yield* Effect.flip(complete({ iss: "https://evil.example" }))).reason, "refused")
    }).pipe(Effect.provide(egress))
  )
})

describe("the provider's own endpoints", () => {
  /** A server whose metadata have these fields besides its token endpoint. */
  const saying = (document: (origin: string) => object) =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((request, response) => {
        const { origin } = server
        HttpFixture.json({ issuer: origin, token_endpoint: `${origin}/token`, ...document(origin) })(request, response)
      })
      return configOf({
        scheme: "OAUTH2",
        settings: { issuer: server.origin, clientId: "c" },
        hosts: [server.host, "169.254.169.254"]
      })
    })
  // Only declared internal hosts are allowed, so the rules hold for all others.
  const strictEgress = (config: AuthConfig) =>
    Egress.layer({ privateHosts: config.hosts.filter((host) => host.startsWith("127.")), timeout: "5 seconds" })

  it.live.each([
    "javascript:alert(document.domain)//https://example.com",
    "data:text/html,<script>alert(1)</script>",
    "https://169.254.169.254/latest/meta-data",
    "http://169.254.169.254/",
    "https://evil.example/authorize",
    "//evil.example/authorize",
    "https://user:password@evil.example/"
  ])("do not lead a person to %s", (address) =>
    Effect.gen(function* () {
      const config = yield* saying(() => ({ authorization_endpoint: address }))
      const error = yield* Effect.flip(
        Effect.flatMap(OAuth2.make, (strategy) =>
          consentOf(strategy).authorize(connect(config), { callbackUrl, state })
        ).pipe(Effect.provide(strictEgress(config)))
      )
      assert.strictEqual(error.reason, "misconfigured")
    })
  )

  it.live("lead a person to a page on a declared host", () =>
    Effect.gen(function* () {
      const config = yield* saying((origin) => ({ authorization_endpoint: `${origin}/authorize?tenant=a` }))
      const { url } = yield* Effect.flatMap(OAuth2.make, (strategy) =>
        consentOf(strategy).authorize(connect(config), { callbackUrl, state })
      ).pipe(Effect.provide(strictEgress(config)))
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/authorize\?tenant=a&/)
    })
  )

  it.live("are cached for each config: another tenant's headers affect only its own answer", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make((request, response) => {
        const { origin } = server
        const tenant = String(request.headers["x-tenant"])
        HttpFixture.json({ issuer: origin, token_endpoint: `${origin}/${tenant}/token`, access_token: "at" })(
          request,
          response
        )
      })
      const { send } = renewalOf(yield* OAuth2.make)
      const tenant = (name: string) =>
        connect(
          configOf({
            id: name,
            scheme: "OAUTH2",
            settings: { issuer: server.origin, clientId: "c", tokenHeaders: { "x-tenant": name } },
            hosts: [server.host]
          }),
          { refresh_token: `rt-of-${name}` }
        )
      for (const name of ["evil", "honest", "evil", "honest"]) yield* send(tenant(name))
      assert.deepStrictEqual(
        server.requests.filter(({ method }) => method === "POST").map(({ path }) => path),
        ["/evil/token", "/honest/token", "/evil/token", "/honest/token"]
      )
      assert.lengthOf(
        server.requests.filter(({ method }) => method === "GET"),
        2
      )
    }).pipe(Effect.provide(egress))
  )
})

describe("a code of another provider", () => {
  const callbackOf = (parameters: Record<string, string>, memo: Record<string, string> = {}) => ({
    callbackUrl,
    state,
    parameters: new URLSearchParams({ state, code: "the-code", ...parameters }),
    memo: { code_verifier: "v".repeat(43), ...memo }
  })

  /** A provider whose metadata can fail, and a config that names its endpoints. */
  const provider = Effect.fnUntraced(function* (promised: boolean) {
    const metadata = { status: 200 }
    const server = yield* HttpFixture.make((request, response) => {
      const { origin } = server
      if (request.method === "POST")
        return HttpFixture.json({ access_token: "at", token_type: "bearer" })(request, response)
      HttpFixture.json({ issuer: origin, authorization_response_iss_parameter_supported: promised }, metadata.status)(
        request,
        response
      )
    })
    const config = (settings: AuthConfig["settings"]) =>
      configOf({
        scheme: "OAUTH2",
        settings: {
          clientId: "c",
          authorizationEndpoint: `${server.origin}/authorize`,
          tokenEndpoint: `${server.origin}/token`,
          ...settings
        },
        hosts: [server.host]
      })
    const codes = () => server.requests.filter(({ method }) => method === "POST").length
    return { metadata, server, config, codes }
  })

  it.live("is not sent to the provider of a config that does not know its issuer", () =>
    Effect.gen(function* () {
      const { codes, config, server } = yield* provider(false)
      const connection = connect(config({}))
      const { complete } = consentOf(yield* OAuth2.make)
      for (const iss of ["https://honest.example", "http://127.0.0.1:1", "not a url", ""]) {
        const error = yield* Effect.flip(complete(connection, callbackOf({ iss })))
        assert.strictEqual(error.reason, "refused", iss)
      }
      assert.strictEqual(codes(), 0)
      // The code is sent to the origin that claims to have issued it.
      for (const iss of [server.origin, `${server.origin}/realms/one`])
        tokensOf((yield* complete(connection, callbackOf({ iss }))).observation)
      tokensOf((yield* complete(connection, callbackOf({}))).observation)
    }).pipe(Effect.provide(egress))
  )

  it.live("is not accepted without an issuer while it is unknown whether the provider promises one", () =>
    Effect.gen(function* () {
      const { codes, config, metadata, server } = yield* provider(true)
      const connection = connect(config({ issuer: server.origin }))
      metadata.status = 503
      const { complete } = consentOf(yield* OAuth2.make)
      const error = yield* Effect.flip(complete(connection, callbackOf({})))
      assert.strictEqual(error.reason, "unavailable")
      assert.strictEqual(
        (yield* Effect.flip(complete(connection, callbackOf({ iss: "https://evil.example" })))).reason,
        "refused"
      )
      assert.strictEqual(codes(), 0)
      // A denial needs no issuer.
      const denied = yield* Effect.flip(complete(connection, callbackOf({ error: "access_denied" })))
      assert.strictEqual(denied.reason, "denied")
      tokensOf((yield* complete(connection, callbackOf({ iss: server.origin }))).observation)
    }).pipe(Effect.provide(egress))
  )

  for (const [promised, reason] of [
    [true, "refused"],
    [false, undefined]
  ] as const) {
    it.live(`without an issuer is ${reason ?? "taken"} where consent began with ${promised ? "a" : "no"} promise`, () =>
      Effect.gen(function* () {
        const { config, metadata, server } = yield* provider(promised)
        const connection = connect(config({ issuer: server.origin }))
        const { memo } = yield* consentOf(yield* OAuth2.make).authorize(connection, { callbackUrl, state })
        metadata.status = 503
        // Another process completes it, and has only the memo.
        const completed = consentOf(yield* OAuth2.make).complete(connection, callbackOf({}, memo))
        if (reason === undefined) tokensOf((yield* completed).observation)
        else assert.strictEqual((yield* Effect.flip(completed)).reason, reason)
      }).pipe(Effect.provide(egress))
    )
  }
})

describe("a provider that refuses PKCE from a client with a secret", () => {
  it.live("receives neither challenge nor verifier", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({ access_token: "at", token_type: "bearer" }))
      const connection = connect(
        configOf({
          scheme: "OAUTH2",
          settings: {
            authorizationEndpoint: `${server.origin}/authorize`,
            tokenEndpoint: `${server.origin}/token`,
            clientId: "client",
            clientAuth: "post",
            pkce: false
          },
          secrets: { client_secret: "s" },
          hosts: [server.host]
        })
      )
      const consent = consentOf(yield* OAuth2.make)
      const { memo, url } = yield* consent.authorize(connection, { callbackUrl, state })
      const asked = new URL(url).searchParams
      assert.strictEqual(asked.get("state"), state)
      assert.deepStrictEqual(
        [...asked.keys()].filter((name) => name.startsWith("code_")),
        []
      )
      const parameters = new URLSearchParams({ code: "the-code", state })
      const { observation } = yield* consent.complete(connection, { callbackUrl, state, parameters, memo })
      assert.strictEqual(decide(observation, strict)._tag, "Renewed")
      assert.deepStrictEqual(Object.fromEntries(new URLSearchParams(server.requests[0]?.body)), {
        grant_type: "authorization_code",
        code: "the-code",
        redirect_uri: callbackUrl,
        client_id: "client",
        client_secret: "s"
      })
    }).pipe(Effect.provide(egress))
  )
})

describe("settings", () => {
  it.effect.each([
    { name: "neither an issuer nor a token endpoint", settings: { clientId: "c" } },
    {
      name: "client authentication by a secret that is not there",
      settings: { clientId: "c", tokenEndpoint: "https://example.com/token", clientAuth: "post" }
    },
    {
      name: "client authentication by a key that is not there",
      settings: { clientId: "c", tokenEndpoint: "https://example.com/token", clientAuth: "private_key_jwt" }
    },
    {
      name: "no PKCE for a client without a secret",
      settings: { clientId: "c", tokenEndpoint: "https://example.com/token", pkce: false }
    },
    { name: "no client id", settings: { tokenEndpoint: "https://example.com/token" } },
    {
      name: "a token endpoint that is not on the web",
      settings: { clientId: "c", tokenEndpoint: "file:///etc/passwd" }
    },
    {
      name: "a token endpoint with a password in it",
      settings: { clientId: "c", tokenEndpoint: "https://user:password@example.com/token" }
    },
    ...[
      " https://example.com/token",
      "https://example.com/token\n",
      "https:/example.com/token",
      "https:example.com/token",
      "https:\\\\example.com/token",
      "https://\\example.com/token",
      "https:///example.com/token",
      "ht\ntps://example.com/token",
      "https://exa\tmple.com/token"
    ].map((tokenEndpoint) => ({
      name: `a token endpoint that only browsers can read, ${JSON.stringify(tokenEndpoint)}`,
      settings: { clientId: "c", tokenEndpoint }
    })),
    { name: "a token endpoint that is no url", settings: { clientId: "c", tokenEndpoint: "/token" } },
    {
      name: "an authorization endpoint that is no url",
      settings: { clientId: "c", authorizationEndpoint: "/authorize" }
    },
    { name: "an unknown client authentication", settings: { clientId: "c", clientAuth: "psychic" } }
  ])("with $name are refused, and the error names the field", ({ settings }) =>
    Effect.gen(function* () {
      const strategy = yield* OAuth2.make
      const config = configOf({ scheme: "OAUTH2", settings, hosts: [] })
      const error = yield* Effect.flip(strategy.check(config))
      assert.strictEqual(error.authConfigId, "config")
      assert.include(error.message, "auth config config")
      assert.notInclude(error.message, "password@")
    }).pipe(Effect.provide(egress))
  )
})
