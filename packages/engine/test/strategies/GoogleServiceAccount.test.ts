import { assert, describe, it } from "@effect/vitest"
import type { Connection } from "@rekindle/engine/AuthStrategy"
import * as GoogleServiceAccount from "@rekindle/engine/GoogleServiceAccount"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { decodeProtectedHeader, importSPKI, jwtVerify } from "jose"
import { generateKeyPairSync } from "node:crypto"
import { config as configOf, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const pair = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" }
})

const keyFile = (tokenUri: string, over: Record<string, string> = {}) =>
  JSON.stringify({
    type: "service_account",
    client_email: "robot@project.iam.gserviceaccount.com",
    private_key: pair.privateKey,
    private_key_id: "key-1",
    token_uri: tokenUri,
    ...over
  })

const scopes = ["https://www.googleapis.com/auth/calendar", "https://www.googleapis.com/auth/drive"]

const renew = Effect.fnUntraced(function* (connection: Connection) {
  const strategy = yield* GoogleServiceAccount.make
  yield* strategy.check(connection.config)
  const { decide, send } = strategy.renewal ?? assert.fail("no renewal")
  return decide?.(yield* send(connection), connection) ?? assert.fail("no decision")
}, Effect.provide(egress))

/** A token endpoint that checks the assertion as Google does. */
const google = HttpFixture.make((request, response) => {
  const parameters = new URLSearchParams(request.body)
  const verify = async () => {
    const key = await importSPKI(pair.publicKey, "RS256")
    return jwtVerify(parameters.get("assertion") ?? "", key, { algorithms: ["RS256"] })
  }
  verify().then(
    () => HttpFixture.json({ access_token: "ya29", expires_in: 3599, token_type: "Bearer" })(request, response),
    () =>
      HttpFixture.json({ error: "invalid_grant", error_description: "Invalid JWT Signature." }, 400)(request, response)
  )
})

const assertionOf = Effect.fnUntraced(function* (server: HttpFixture.HttpFixture, index = 0) {
  const parameters = new URLSearchParams(server.requests[index]?.body)
  assert.strictEqual(parameters.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer")
  const assertion = parameters.get("assertion") ?? assert.fail("no assertion")
  const key = yield* Effect.promise(() => importSPKI(pair.publicKey, "RS256"))
  const { payload } = yield* Effect.promise(() =>
    jwtVerify(assertion, key, { currentDate: new Date(1_800_000_000_000) })
  )
  return { header: decodeProtectedHeader(assertion), payload }
})

const configFor = (server: HttpFixture.HttpFixture, settings: Record<string, string> = {}) =>
  configOf({ scheme: "GOOGLE_SERVICE_ACCOUNT", settings: { scopes, ...settings }, hosts: [server.host] })

describe("GOOGLE_SERVICE_ACCOUNT", () => {
  it.live("exchanges an assertion for a token", () =>
    Effect.gen(function* () {
      const server = yield* google
      const verdict = yield* renew(connect(configFor(server), { service_account_json: keyFile(server.origin) }))
      if (verdict._tag !== "Renewed") return assert.fail(JSON.stringify(verdict))
      assert.strictEqual(Redacted.value(verdict.tokens.accessToken), "ya29")
      assert.strictEqual(verdict.tokens.expiresIn, 3599)
    })
  )

  it.effect("signs issuer, audience, scopes and subject anew for every attempt, on the clock's time", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({ access_token: "ya29" }))
      const connection = connect(configFor(server, { subject: "user@example.com" }), {
        service_account_json: keyFile(server.origin)
      })
      yield* TestClock.setTime(1_800_000_000_000)
      yield* renew(connection)
      yield* TestClock.adjust("1 minute")
      yield* renew(connection)
      const first = yield* assertionOf(server, 0)
      const second = yield* assertionOf(server, 1)
      assert.deepStrictEqual(first.header, { alg: "RS256", typ: "JWT", kid: "key-1" })
      assert.deepInclude(first.payload, {
        iss: "robot@project.iam.gserviceaccount.com",
        aud: server.origin,
        scope: scopes.join(" "),
        sub: "user@example.com",
        iat: 1_800_000_000,
        exp: 1_800_003_600
      })
      assert.strictEqual(second.payload.iat, 1_800_000_060)
      assert.notStrictEqual(second.payload.jti, first.payload.jti)
    })
  )

  it.live("is dead when the provider refuses the signature", () =>
    Effect.gen(function* () {
      const server = yield* google
      const other = generateKeyPairSync("rsa", { modulusLength: 2048 })
      const private_key = other.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
      const connection = connect(configFor(server), { service_account_json: keyFile(server.origin, { private_key }) })
      assert.deepStrictEqual(yield* renew(connection), { _tag: "Dead", code: "invalid_grant" })
    })
  )

  it.live("is misconfigured, without effect on other accounts, if no scopes were delegated to it", () =>
    Effect.gen(function* () {
      const server = yield* HttpFixture.make(HttpFixture.json({ error: "unauthorized_client" }, 401))
      const connection = connect(configFor(server), { service_account_json: keyFile(server.origin) })
      assert.deepStrictEqual(yield* renew(connection), { _tag: "Misconfigured", code: "unauthorized_client" })
    })
  )

  it.live("sends no assertion to a host that only the key file names", () =>
    Effect.gen(function* () {
      const [server, thief] = [yield* google, yield* google]
      const verdict = yield* renew(connect(configFor(server), { service_account_json: keyFile(thief.origin) }))
      assert.strictEqual(verdict._tag, "Refused")
      assert.lengthOf(thief.requests, 0)
    })
  )

  it.live("asks Google if the key file names no endpoint", () =>
    Effect.gen(function* () {
      const server = yield* google
      const file = { ...JSON.parse(keyFile(server.origin)), token_uri: undefined }
      assert.deepStrictEqual(yield* renew(connect(configFor(server), { service_account_json: JSON.stringify(file) })), {
        _tag: "Refused",
        reason: "host_not_declared: oauth2.googleapis.com is not among the hosts of the auth config"
      })
    })
  )

  for (const { file, name } of [
    { name: "is no JSON", file: "-----BEGIN" },
    { name: "lacks a field", file: JSON.stringify({ client_email: "robot@example.com" }) },
    { name: "has a broken key", file: keyFile("https://example.com", { private_key: "-----BEGIN PRIVATE KEY-----" }) }
  ]) {
    it.live(`is refused, without a request, when the file ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* google
        const verdict = yield* renew(connect(configFor(server), { service_account_json: file }))
        assert.deepStrictEqual(verdict, {
          _tag: "Refused",
          reason: "credential_malformed: service_account_json is not a service account key"
        })
        assert.lengthOf(server.requests, 0)
      })
    )
  }

  it.live("spends nothing without a key file, and does not consume it", () =>
    Effect.gen(function* () {
      const server = yield* google
      const { renewal } = yield* GoogleServiceAccount.make
      assert.isUndefined(renewal?.spends(connect(configFor(server))))
      assert.strictEqual(renewal?.rotation, "none")
    }).pipe(Effect.provide(egress))
  )

  it.effect("needs a scope", () =>
    Effect.gen(function* () {
      const strategy = yield* GoogleServiceAccount.make
      for (const settings of [{}, { scopes: [] }]) {
        const error = yield* Effect.flip(
          strategy.check(configOf({ scheme: "GOOGLE_SERVICE_ACCOUNT", settings, hosts: [] }))
        )
        assert.include(error.message, "scopes")
      }
    }).pipe(Effect.provide(egress))
  )
})
