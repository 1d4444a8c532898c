import { assert, describe, it } from "@effect/vitest"
import type { AuthConfig } from "@rekindle/core"
import type { AuthStrategy, Connection } from "@rekindle/engine/AuthStrategy"
import * as OAuth1 from "@rekindle/engine/OAuth1"
import { Effect, Redacted, Record } from "effect"
import { TestClock } from "effect/testing"
import { createPrivateKey, verify } from "node:crypto"
import { config as configOf, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

/** The private key that the OAuth test cases were published with. */
const publishedKey = createPrivateKey({
  format: "der",
  type: "pkcs8",
  key: Buffer.from(
    "MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALRiMLAh9iimur8VA7qVvdqxevEuUkW4K+2KdMXmnQbG9Aa7k7eBjK1S+0LYmVjP" +
      "KlJGNXHDGuy5Fw/d7rjVJ0BLB+ubPK8iA/Tw3hLQgXMRRGRXXCn8ikfuQfjUS1uZSatdLB81mydBETlJhI6GH4twrbDJCR2Bwy/XWXgqgGRzAgMB" +
      "AAECgYBYWVtleUzavkbrPjy0T5FMou8HX9u2AC2ry8vD/l7cqedtwMPp9k7TubgNFo+NGvKsl2ynyprOZR1xjQ7WgrgVB+mmuScOM/5HVceFuGRD" +
      "hYTCObE+y1kxRloNYXnx3ei1zbeYLPCHdhxRYW7T0qcynNmwrn05/KO2RLjgQNalsQJBANeA3Q4Nugqy4QBUCEC09SqylT2K9FrrItqL2QKc9v0Z" +
      "zO2uwllCbg0dwpVuYPYXYvikNHHg+aCWF+VXsb9rpPsCQQDWR9TT4ORdzoj+NccnqkMsDmzt0EfNaAOwHOmVJ2RVBspPcxt5iN4HI7HNeG6U5YsF" +
      "Bb+/GZbgfBT3kpNGWPTpAkBI+gFhjfJvRw38n3g/+UeAkwMI2TJQS4n8+hid0uus3/zOjDySH3XHCUnocn1xOJAyZODBo47E+67R4jV1/gzbAkEA" +
      "klJaspRPXP877NssM5nAZMU0/O/NGCZ+3jPgDUno6WbJn5cqm8MqWhW1xGkImgRk+fkDBquiq4gPiT898jusgQJAd5Zrr6Q8AO/0isr/3aa6O6NL" +
      "QxISLKcPDk2NOccAfS/xOtfOz4sJYM3+Bs4Io9+dZGSDCA54Lw03eHTNQghS0A==",
    "base64"
  )
})
  .export({ format: "pem", type: "pkcs8" })
  .toString()

describe("signing, by the examples of RFC 5849", () => {
  it("builds the base string of §3.4.1.1, with parameters from query, header and body", () => {
    // the authorization header and the form body of §3.4.1.3.1, decoded
    const parameters: ReadonlyArray<readonly [string, string]> = [
      ["oauth_consumer_key", "9djdj82h48djs9d2"],
      ["oauth_token", "kkk9d7dh3k39sjv7"],
      ["oauth_signature_method", "HMAC-SHA1"],
      ["oauth_timestamp", "137131201"],
      ["oauth_nonce", "7d8f3e4a"],
      ["c2", ""],
      ["a3", "2 q"]
    ]
    assert.strictEqual(
      OAuth1.signatureBaseString("post", "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", parameters),
      "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26" +
        "c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26" +
        "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )
  })

  it("keeps a port that is not the scheme's own (§3.4.1.2)", () => {
    const base = OAuth1.signatureBaseString("GET", "https://www.example.net:8080/?q=1#fragment", [])
    assert.strictEqual(base, "GET&https%3A%2F%2Fwww.example.net%3A8080%2F&q%3D1")
  })

  for (const { expected, method, name, parameters, secrets, url } of [
    {
      name: "temporary credentials",
      method: "POST",
      url: "https://photos.example.net/initiate",
      parameters: {
        oauth_timestamp: "137131200",
        oauth_nonce: "wIjqoS",
        oauth_callback: "http://printer.example.com/ready"
      },
      secrets: { consumerSecret: "kd94hf93k423kf44", tokenSecret: "" },
      expected: "74KNZJeDHnMBp0EMJ9ZHt/XKycU="
    },
    {
      name: "token credentials",
      method: "POST",
      url: "https://photos.example.net/token",
      parameters: {
        oauth_token: "hh5s93j4hdidpola",
        oauth_timestamp: "137131201",
        oauth_nonce: "walatlh",
        oauth_verifier: "hfdp7dh39dks9884"
      },
      secrets: { consumerSecret: "kd94hf93k423kf44", tokenSecret: "hdhd0244k9j7ao03" },
      expected: "gKgrFCywp7rO0OXSjdot/IHF7IU="
    },
    {
      name: "a photo",
      method: "GET",
      url: "http://photos.example.net/photos?file=vacation.jpg&size=original",
      parameters: { oauth_token: "nnch734d00sl2jdk", oauth_timestamp: "137131202", oauth_nonce: "chapoH" },
      secrets: { consumerSecret: "kd94hf93k423kf44", tokenSecret: "pfkkdhi9sl3r4s00" },
      expected: "MdpQcU8iPSUjWoN/UDMsK2sui9I="
    }
  ]) {
    it(`signs the request of §1.2 for ${name}`, () => {
      const all = { oauth_consumer_key: "dpf43f3p2l4k3l03", oauth_signature_method: "HMAC-SHA1", ...parameters }
      const base = OAuth1.signatureBaseString(method, url, Object.entries(all))
      assert.strictEqual(OAuth1.signature("HMAC-SHA1", base, secrets), expected)
    })
  }

  it("percent-encodes by §3.6, in every alphabet", () => {
    assert.strictEqual(OAuth1.percentEncode("abcABC123-._~"), "abcABC123-._~")
    assert.strictEqual(OAuth1.percentEncode("!*'() ☃+%"), "%21%2A%27%28%29%20%E2%98%83%2B%25")
  })

  it("with RSA signs the request of the OAuth test cases, §9.3", () => {
    const all = {
      oauth_consumer_key: "dpf43f3p2l4k3l03",
      oauth_nonce: "13917289812797014437",
      oauth_signature_method: "RSA-SHA1",
      oauth_timestamp: "1196666512",
      oauth_version: "1.0"
    }
    const url = "http://photos.example.net/photos?file=vacaction.jpg&size=original"
    const base = OAuth1.signatureBaseString("GET", url, Object.entries(all))
    assert.strictEqual(
      OAuth1.signature("RSA-SHA1", base, { consumerSecret: publishedKey, tokenSecret: "unused" }),
      "jvTp/wX1TYtByB1m+Pbyo0lnCOLIsyGCH7wke8AUs3BpnwZJtAuEJkvQL2/9n4s5wUmUl4aCI4BwpraNx4RtEXMe5qg5T1LVTGliMRpKasKs" +
        "W//e+RinhejgCuzoH26dyF8iY2ZZ/5D1ilgeijhV/vBka5twt399mXwaYdCwFYE="
    )
  })

  it("with PLAINTEXT is the two secrets, encoded (§3.4.4)", () => {
    const secrets = { consumerSecret: "a&b", tokenSecret: "c d" }
    assert.strictEqual(OAuth1.signature("PLAINTEXT", "ignored", secrets), "a%26b&c%20d")
  })
})

const consumerSecret = "consumer-secret&"

/** The protocol parameters of an Authorization header, decoded. */
const headerOf = (request: HttpFixture.RecordedRequest): Record<string, string> =>
  Object.fromEntries(
    Array.from((request.headers.authorization ?? "").matchAll(/([a-z_]+)="([^"]*)"/g), ([, name = "", value = ""]) => [
      name,
      decodeURIComponent(value)
    ])
  )

/** Whether the request is signed with this token secret. The check is that of a provider. */
const isSigned = (origin: string, request: HttpFixture.RecordedRequest, tokenSecret: string) => {
  const { oauth_signature, ...protocol } = headerOf(request)
  delete protocol["realm"]
  const form = [...new URLSearchParams(request.body)]
  const method = protocol["oauth_signature_method"] === "HMAC-SHA256" ? "HMAC-SHA256" : "HMAC-SHA1"
  const base = OAuth1.signatureBaseString(request.method, origin + request.path, [...Object.entries(protocol), ...form])
  return oauth_signature === OAuth1.signature(method, base, { consumerSecret, tokenSecret })
}

type Answers = Readonly<Record<string, { readonly status?: number; readonly body: string }>>

const usual: Answers = {
  "/request_token": { body: "oauth_token=rt%2F1&oauth_token_secret=rts&oauth_callback_confirmed=true" },
  "/access_token": { body: "oauth_token=at&oauth_token_secret=ats&user_id=7" },
  "/me": { body: "{}" }
}

/** A provider with these answers, by path. It states plain text as their type, as some do. */
const provider = (answers: Answers = {}) =>
  HttpFixture.make((request, response) => {
    const { body, status = 200 } = { ...usual, ...answers }[request.path.split("?")[0] ?? ""] ?? {
      body: "",
      status: 404
    }
    response.writeHead(status, { "content-type": "text/plain" }).end(body)
  })

const configFor = ({ host, origin }: HttpFixture.HttpFixture, settings: AuthConfig["settings"] = {}) =>
  configOf({
    scheme: "OAUTH1",
    settings: {
      consumerKey: "consumer",
      requestTokenUrl: `${origin}/request_token`,
      authorizeUrl: `${origin}/authorize?theme=dark`,
      accessTokenUrl: `${origin}/access_token`,
      ...settings
    },
    secrets: { consumer_secret: consumerSecret },
    hosts: [host]
  })

const privateKey = (pem: string) => ({ private_key: Redacted.make(pem) })

const callbackUrl = "https://app.example.com/callback?app=1"
const state = "the-state"
const consentOf = (strategy: AuthStrategy) => strategy.consent ?? assert.fail("no consent")

const begin = Effect.fnUntraced(function* (connection: Connection) {
  const strategy = yield* OAuth1.make
  yield* Effect.orDie(strategy.check(connection.config))
  return yield* consentOf(strategy).authorize(connection, { callbackUrl, state })
}, Effect.provide(egress))

/** Completes a callback as the engine does: from its parameters to the verdict and the secrets. */
const complete = Effect.fnUntraced(function* (connection: Connection, parameters: Record<string, string>) {
  const consent = consentOf(yield* OAuth1.make)
  const { observation } = yield* consent.complete(connection, {
    callbackUrl,
    state,
    parameters: new URLSearchParams(parameters),
    memo: { oauth_token: "rt/1", oauth_token_secret: "rts" }
  })
  const verdict = consent.decide?.(observation, connection) ?? assert.fail("no decision")
  const secrets = "tokens" in verdict ? Record.map(verdict.tokens.secrets ?? {}, Redacted.value) : {}
  return { secrets, verdict }
}, Effect.provide(egress))

describe("consent", () => {
  it.live("begins with a signed request whose callback carries the state", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const connection = connect(
        configFor(server, {
          realm: "Photos",
          requestParameters: { scope: "read write" },
          authorizationParameters: { expiration: "never" }
        })
      )
      const { memo, url } = yield* begin(connection)
      assert.deepStrictEqual(memo, { oauth_token: "rt/1", oauth_token_secret: "rts" })
      assert.deepStrictEqual(Object.fromEntries(new URL(url).searchParams), {
        theme: "dark",
        expiration: "never",
        oauth_token: "rt/1"
      })
      const request = server.requests[0] ?? assert.fail("nothing was sent")
      assert.deepInclude(request, { method: "POST", body: "scope=read+write" })
      const header = headerOf(request)
      assert.deepInclude(header, {
        realm: "Photos",
        oauth_consumer_key: "consumer",
        oauth_callback: `${callbackUrl}&state=${state}`,
        oauth_version: "1.0"
      })
      assert.notProperty(header, "oauth_token")
      assert.isTrue(isSigned(server.origin, request, ""))
    })
  )

  it.effect("signs every attempt with a nonce and a timestamp of its own", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const connection = connect(configFor(server, { signatureMethod: "HMAC-SHA256" }))
      yield* TestClock.setTime(1_800_000_000_000)
      yield* begin(connection)
      yield* TestClock.adjust("1 minute")
      yield* begin(connection)
      const [first = {}, second = {}] = server.requests.map(headerOf)
      assert.deepStrictEqual([first["oauth_timestamp"], second["oauth_timestamp"]], ["1800000000", "1800000060"])
      assert.notStrictEqual(first["oauth_nonce"], second["oauth_nonce"])
      assert.isTrue(server.requests.every((request) => isSigned(server.origin, request, "")))
    })
  )

  it.live("is completed by exchanging the verifier for a token that does not expire", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const { secrets, verdict } = yield* complete(connect(configFor(server)), {
        state,
        oauth_token: "rt/1",
        oauth_verifier: "v 1"
      })
      assert.deepStrictEqual(secrets, { oauth_token_secret: "ats" })
      if (verdict._tag !== "Renewed") return assert.fail(JSON.stringify(verdict))
      assert.strictEqual(Redacted.value(verdict.tokens.accessToken), "at")
      assert.isNull(verdict.tokens.expiresIn)
      const request = server.requests[0] ?? assert.fail("nothing was sent")
      assert.deepInclude(headerOf(request), { oauth_token: "rt/1", oauth_verifier: "v 1" })
      assert.isTrue(isSigned(server.origin, request, "rts"))
    })
  )

  for (const { name, parameters, reason } of [
    { name: "another request token", parameters: { oauth_token: "rt/2", oauth_verifier: "v" }, reason: "refused" },
    { name: "no request token", parameters: { oauth_verifier: "v" }, reason: "refused" },
    { name: "no verifier", parameters: { oauth_token: "rt/1" }, reason: "refused" },
    { name: "a refusal", parameters: { denied: "rt/1" }, reason: "denied" },
    { name: "a refusal by problem report", parameters: { oauth_problem: "user_refused" }, reason: "denied" }
  ]) {
    it.live(`ends as ${reason}, with nothing sent, on a callback with ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* provider()
        const error = yield* Effect.flip(complete(connect(configFor(server)), { state, ...parameters }))
        assert.strictEqual(error.reason, reason)
        assert.lengthOf(server.requests, 0)
      })
    )
  }

  it.live("is refused by a 401, and undecided after an outage or an answer without a token", () =>
    Effect.gen(function* () {
      const callback = { state, oauth_token: "rt/1", oauth_verifier: "v" }
      for (const [answer, tag] of [
        [{ status: 401, body: "oauth_problem=token_rejected" }, "Dead"],
        [{ status: 502, body: "" }, "Ambiguous"],
        [{ status: 503, body: "" }, "Transient"],
        [{ status: 200, body: "oauth_token=at" }, "Ambiguous"]
      ] as const) {
        const server = yield* provider({ "/access_token": answer })
        const { secrets, verdict } = yield* complete(connect(configFor(server)), callback)
        assert.strictEqual(verdict._tag, tag)
        assert.deepStrictEqual(secrets, {})
      }
    })
  )

  it.live("drops a line break at the end of an answer", () =>
    Effect.gen(function* () {
      const server = yield* provider({
        "/request_token": { body: "\uFEFFoauth_token=rt%2F1&oauth_token_secret=rts&oauth_callback_confirmed=true\r\n" },
        "/access_token": { body: "oauth_token=at&oauth_token_secret=ats\r\n" }
      })
      const { memo } = yield* begin(connect(configFor(server)))
      assert.deepInclude(memo, { oauth_token: "rt/1", oauth_token_secret: "rts" })
      const callback = { state, oauth_token: "rt/1", oauth_verifier: "v" }
      const { secrets } = yield* complete(connect(configFor(server)), callback)
      assert.deepStrictEqual(secrets, { oauth_token_secret: "ats" })
    })
  )

  it.live("returns no link without a confirmed request token, and reports whose fault it is", () =>
    Effect.gen(function* () {
      for (const [answer, reason] of [
        [{ body: "oauth_token=rt&oauth_token_secret=s" }, "misconfigured"],
        [{ body: "oauth_token=rt&oauth_token_secret=s&oauth_callback_confirmed=false" }, "misconfigured"],
        [{ status: 401, body: "" }, "misconfigured"],
        [{ status: 200, body: "<html>" }, "unavailable"],
        [{ status: 429, body: "" }, "unavailable"],
        [{ status: 500, body: "" }, "unavailable"]
      ] as const) {
        const server = yield* provider({ "/request_token": answer })
        const error = yield* Effect.flip(begin(connect(configFor(server))))
        assert.strictEqual(error.reason, reason, JSON.stringify(answer))
      }
      // no server listens there
      const gone = { host: "127.0.0.1:2", origin: "http://127.0.0.1:2", requests: [] }
      assert.strictEqual((yield* Effect.flip(begin(connect(configFor(gone))))).reason, "unavailable")
    })
  )

  it.live("with RSA begins with a request that the consumer's public key verifies", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const config = { ...configFor(server, { signatureMethod: "RSA-SHA1" }), secrets: privateKey(publishedKey) }
      yield* begin(connect(config))
      const { oauth_signature = "", ...protocol } = headerOf(server.requests[0] ?? assert.fail("nothing was sent"))
      const base = OAuth1.signatureBaseString("POST", `${server.origin}/request_token`, Object.entries(protocol))
      assert.isTrue(verify("sha1", Buffer.from(base), publishedKey, Buffer.from(oauth_signature, "base64")))
    })
  )

  it.live("needs the consumer's secret or key, and reports that before anything is sent", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const strategy = yield* OAuth1.make
      for (const [settings, secrets, what] of [
        [{}, {}, "secrets.consumer_secret: it is missing"],
        [{ signatureMethod: "RSA-SHA1" }, {}, "secrets.private_key: it is missing"],
        [{ signatureMethod: "RSA-SHA1" }, privateKey("no key"), "secrets.private_key: it cannot sign with RSA-SHA1"]
      ] as const) {
        const config = { ...configFor(server, settings), secrets }
        assert.include((yield* Effect.flip(strategy.check(config))).message, what)
        const error = yield* Effect.flip(consentOf(strategy).authorize(connect(config), { callbackUrl, state }))
        assert.strictEqual(error.reason, "misconfigured")
      }
      assert.lengthOf(server.requests, 0)
    }).pipe(Effect.provide(egress))
  )
})

describe("a probe", () => {
  const validate = Effect.fnUntraced(function* (connection: Connection) {
    const strategy = yield* OAuth1.make
    assert.isUndefined(strategy.renewal)
    const probe = strategy.validate?.(connection)
    return probe === undefined ? undefined : yield* probe
  }, Effect.provide(egress))
  const credential = { access_token: "at", oauth_token_secret: "ats" }

  it.live("is signed with the token, query and all", () =>
    Effect.gen(function* () {
      const server = yield* provider()
      const config = configFor(server, { probeUrl: `${server.origin}/me?fields=id,name` })
      assert.deepStrictEqual(yield* validate(connect(config, credential)), { _tag: "Valid" })
      const request = server.requests[0] ?? assert.fail("nothing was sent")
      assert.deepInclude(request, { method: "GET", path: "/me?fields=id,name" })
      assert.strictEqual(headerOf(request)["oauth_token"], "at")
      assert.isTrue(isSigned(server.origin, request, "ats"))
    })
  )

  it.live("rejects on a 401, and is unverified after an outage", () =>
    Effect.gen(function* () {
      for (const [status, expected] of [
        [401, { _tag: "Rejected", code: "http_401" }],
        [500, { _tag: "Unverified", reason: "http_500" }]
      ] as const) {
        const server = yield* provider({ "/me": { status, body: "" } })
        const config = configFor(server, { probeUrl: `${server.origin}/me` })
        assert.deepStrictEqual(yield* validate(connect(config, credential)), expected)
      }
    })
  )

  it.live("needs an address", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* validate(connect(configFor(yield* provider()), credential)))
    })
  )
})

it.effect("settings that do not decode are refused", () =>
  Effect.gen(function* () {
    const strategy = yield* OAuth1.make
    const { settings } = configFor({ host: "example.com", origin: "https://example.com", requests: [] })
    for (const change of [{ consumerKey: 1 }, { accessTokenUrl: "/token" }, { signatureMethod: "HMAC-MD5" }]) {
      const config = configOf({ scheme: "OAUTH1", settings: { ...settings, ...change }, hosts: [] })
      const error = yield* Effect.flip(strategy.check(config))
      assert.include(error.message, Object.keys(change).join())
    }
  }).pipe(Effect.provide(egress))
)
