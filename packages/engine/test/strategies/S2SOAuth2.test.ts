import { assert, layer } from "@effect/vitest"
import type { AuthStrategy, Connection } from "@rekindle/engine/AuthStrategy"
import * as S2SOAuth2 from "@rekindle/engine/S2SOAuth2"
import { Effect, Layer, Redacted } from "effect"
import { generateKeyPairSync } from "node:crypto"
import { AuthorizationServer, clientId, clientSecret } from "../support/AuthorizationServer.ts"
import { config as configOf, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const machine = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] }
const clients = [
  {
    client_id: "signer",
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: "ES256",
    jwks: { keys: [pair.publicKey.export({ format: "jwk" })] },
    scope: "api",
    ...machine
  },
  { client_id: "own", client_secret: "own-secret", scope: "api", ...machine }
] as const

const renewalOf = (strategy: AuthStrategy) => strategy.renewal ?? assert.fail("no renewal")

const renew = Effect.fnUntraced(function* (connection: Connection) {
  const strategy = yield* S2SOAuth2.make
  yield* strategy.check(connection.config)
  const { decide, send } = renewalOf(strategy)
  return decide?.(yield* send(connection), connection) ?? assert.fail("no decision")
})

const shared = Effect.map(AuthorizationServer, (server) =>
  configOf({
    scheme: "S2S_OAUTH2",
    settings: { clientId, tokenEndpoint: server.endpoints.token, scopes: ["api"] },
    secrets: { client_secret: clientSecret },
    hosts: [server.host]
  })
)

layer(Layer.merge(AuthorizationServer.layer({ clients }), egress), { excludeTestServices: true })(
  "S2S_OAUTH2",
  (it) => {
    it.effect("gets a token for an account that never had one, again and again", () =>
      Effect.gen(function* () {
        const connection = connect(yield* shared)
        const tokens: Array<string> = []
        while (tokens.length < 2) {
          const verdict = yield* renew(connection)
          if (verdict._tag !== "Renewed") return assert.fail(JSON.stringify(verdict))
          assert.strictEqual(verdict.tokens.expiresIn, 3600)
          assert.strictEqual(verdict.tokens.scope, "api")
          assert.isUndefined(verdict.tokens.refreshToken)
          tokens.push(Redacted.value(verdict.tokens.accessToken))
        }
        assert.strictEqual(new Set(tokens).size, 2)
      })
    )

    it.effect("authenticates with a key, at an endpoint it discovered", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const config = configOf({
          scheme: "S2S_OAUTH2",
          settings: {
            clientId: "signer",
            issuer: server.issuer,
            clientAuth: "private_key_jwt",
            signingAlgorithm: "ES256"
          },
          secrets: { private_key: JSON.stringify(pair.privateKey.export({ format: "jwk" })) },
          hosts: [server.host]
        })
        assert.strictEqual((yield* renew(connect(config)))._tag, "Renewed")
      })
    )

    it.effect("uses the account's own client", () =>
      Effect.gen(function* () {
        const config = { ...(yield* shared), secrets: {} }
        const own = { client_id: "own", client_secret: "own-secret" }
        assert.strictEqual((yield* renew(connect(config, own)))._tag, "Renewed")
        assert.strictEqual((yield* renew(connect(yield* shared, own)))._tag, "Renewed")
      })
    )

    it.effect("blames the account for a refused client only if it is the account's own", () =>
      Effect.gen(function* () {
        const config = yield* shared
        const wrong = { ...config, secrets: { client_secret: Redacted.make("wrong") } }
        assert.deepStrictEqual(yield* renew(connect(wrong)), { _tag: "AppFault", code: "invalid_client" })
        const own = { client_id: "own", client_secret: "wrong" }
        assert.deepStrictEqual(yield* renew(connect(config, own)), { _tag: "Dead", code: "invalid_client" })
      })
    )

    it.effect("states what it spends, and that this is not consumed", () =>
      Effect.gen(function* () {
        const { rotation, spends } = renewalOf(yield* S2SOAuth2.make)
        const config = yield* shared
        const value = (connection: Connection) => {
          const spent = spends(connection)
          return spent === undefined ? undefined : Redacted.value(spent)
        }
        assert.strictEqual(rotation, "none")
        assert.strictEqual(value(connect(config)), clientSecret)
        assert.strictEqual(value(connect(config, { client_secret: "own-secret" })), "own-secret")
        assert.strictEqual(value(connect({ ...config, secrets: { private_key: Redacted.make("the key") } })), "the key")
        assert.isUndefined(value(connect({ ...config, secrets: {} })))
      })
    )

    it.effect("sends scopes and further parameters", () =>
      Effect.gen(function* () {
        const recorder = yield* HttpFixture.make(HttpFixture.json({ access_token: "at", token_type: "bearer" }))
        const config = configOf({
          scheme: "S2S_OAUTH2",
          settings: {
            clientId,
            tokenEndpoint: recorder.origin,
            scopes: ["a", "b"],
            tokenParameters: { audience: "https://api.example.com" }
          },
          secrets: { client_secret: clientSecret },
          hosts: [recorder.host]
        })
        yield* renew(connect(config))
        assert.deepStrictEqual(Object.fromEntries(new URLSearchParams(recorder.requests[0]?.body)), {
          grant_type: "client_credentials",
          scope: "a b",
          audience: "https://api.example.com"
        })
      })
    )
  }
)
