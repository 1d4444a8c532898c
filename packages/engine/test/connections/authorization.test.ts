/** The headers and parameters of a request, by scheme, and the addresses that it may go to. */
import { assert, describe, it } from "@effect/vitest"
import { AuthConfig, Connections, CustomAuthScheme, type NewAccount, type RequestToAuthorize } from "@rekindle/core"
import * as OAuth1 from "@rekindle/engine/OAuth1"
import { Effect, Record, Redacted } from "effect"
import { EmbeddedJWK, exportJWK, generateKeyPair, jwtVerify } from "jose"
import { createHash } from "node:crypto"
import { authConfig, scenario, settle } from "../support/ScriptedEngine.ts"

const redacted = (secrets: Readonly<Record<string, string>>) => Record.map(secrets, (value) => Redacted.make(value))

/** Registers the config, creates an account and authorizes a request for it. */
const authorized = Effect.fnUntraced(function* (
  config: AuthConfig,
  account: Pick<NewAccount, "secrets" | "attributes">,
  request: RequestToAuthorize
) {
  const connections = yield* Connections
  yield* connections.authConfigs.register(config)
  const { id } = yield* connections.create({ authConfigId: config.id, userId: "u", ...account })
  const { headers, parameters } = yield* settle(connections.authorization(id, request))
  return { headers: Record.map(headers, Redacted.value), parameters: Record.map(parameters, Redacted.value) }
})

describe("a request", () => {
  it.effect("of OAUTH1 is signed with its query and its form (RFC 5849 §3.4.1)", () =>
    Effect.gen(function* () {
      const config = AuthConfig.make({
        id: "old",
        toolkit: "t",
        scheme: "OAUTH1",
        settings: {
          consumerKey: "consumer",
          requestTokenUrl: "https://provider.test/request",
          authorizeUrl: "https://provider.test/authorize",
          accessTokenUrl: "https://provider.test/access"
        },
        secrets: redacted({ consumer_secret: "consumer secret" }),
        hosts: ["provider.test"],
        apiHosts: ["api.test"]
      })
      const url = "https://api.test/notes?tag=a%20b"
      const { headers } = yield* authorized(
        config,
        { secrets: redacted({ access_token: "token", oauth_token_secret: "token secret" }) },
        { method: "POST", url, form: [["title", "x & y"]] }
      )
      const fields = Object.fromEntries(
        Array.from((headers["authorization"] ?? "").matchAll(/(\w+)="([^"]*)"/g), ([, name = "", value = ""]) => [
          name,
          decodeURIComponent(value)
        ])
      )
      const { oauth_signature: signature, ...protocol } = fields
      assert.deepInclude(protocol, { oauth_consumer_key: "consumer", oauth_token: "token" })
      const base = OAuth1.signatureBaseString("POST", url, [...Object.entries(protocol), ["title", "x & y"]])
      assert.strictEqual(
        signature,
        OAuth1.signature("HMAC-SHA1", base, { consumerSecret: "consumer secret", tokenSecret: "token secret" })
      )
    }).pipe(scenario())
  )

  it.effect("of a DPoP token carries a proof for that request alone (RFC 9449 §4.2)", () =>
    Effect.gen(function* () {
      const { privateKey } = yield* Effect.promise(() => generateKeyPair("ES256", { extractable: true }))
      const jwk = yield* Effect.promise(() => exportJWK(privateKey))
      const { headers } = yield* authorized(
        authConfig("bound", {}, { settings: { ...authConfig("bound").settings, dpop: true } }),
        { secrets: redacted({ access_token: "token", refresh_token: "r", dpop_key: JSON.stringify(jwk) }) },
        { method: "DELETE", url: "https://provider.test/notes/1?soft=true", dpopNonce: "n-1" }
      )
      assert.strictEqual(headers["authorization"], "DPoP token")
      const { payload, protectedHeader } = yield* Effect.promise(() =>
        jwtVerify(headers["dpop"] ?? "", EmbeddedJWK, { currentDate: new Date(Date.UTC(2026, 10, 1)) })
      )
      assert.strictEqual(protectedHeader.typ, "dpop+jwt")
      assert.notProperty(protectedHeader.jwk, "d")
      assert.deepInclude(payload, {
        htm: "DELETE",
        htu: "https://provider.test/notes/1",
        nonce: "n-1",
        ath: createHash("sha256").update("token").digest("base64url")
      })
      assert.isString(payload.jti)
    }).pipe(scenario())
  )

  it.effect("of NO_AUTH carries nothing, and keeps to the API's hosts all the same", () =>
    Effect.gen(function* () {
      const config = AuthConfig.make({ id: "none", toolkit: "t", scheme: "NO_AUTH", hosts: ["api.test"] })
      const ask = (url: string) => authorized(config, {}, { method: "GET", url })
      assert.deepStrictEqual(yield* ask("https://api.test/"), { headers: {}, parameters: {} })
      const error = yield* Effect.flip(ask("https://elsewhere.test/"))
      assert.strictEqual("slug" in error && error.slug, "host_not_declared")
    }).pipe(scenario())
  )

  it.effect("of a scheme of the application's own is not authorized, and its secrets can be read", () =>
    Effect.gen(function* () {
      const scheme = CustomAuthScheme.make("HOUSE")
      const connections = yield* Connections
      yield* connections.authConfigs.register(AuthConfig.make({ id: "own", toolkit: "t", scheme, hosts: ["api.test"] }))
      const secrets = redacted({ badge: "71" })
      const { id } = yield* connections.create({ authConfigId: "own", userId: "u", secrets })
      const error = yield* Effect.flip(connections.authorization(id, { method: "GET", url: "https://api.test/" }))
      assert.strictEqual(error._tag, "RefreshUnsupported")
      assert.deepStrictEqual(yield* connections.credential(id), { _tag: "Custom", scheme, secrets })
    }).pipe(
      scenario({
        engine: {
          strategies: [Effect.succeed({ scheme: CustomAuthScheme.make("HOUSE"), check: () => Effect.succeed([]) })]
        }
      })
    )
  )
})
