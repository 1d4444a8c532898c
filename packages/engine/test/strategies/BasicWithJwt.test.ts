import { assert, describe, it } from "@effect/vitest"
import type { AuthConfig } from "@rekindle/core"
import * as BasicWithJwt from "@rekindle/engine/BasicWithJwt"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { UnsecuredJWT } from "jose"
import { config as configOf, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const person = { username: "ada", password: "päss:word" }
const unsigned = (claims: Record<string, number>) => new UnsecuredJWT(claims).encode()

/** Logs in at a server with this answer. */
const logIn = Effect.fnUntraced(function* (
  answer: Parameters<typeof HttpFixture.make>[0],
  settings: AuthConfig["settings"] = {}
) {
  const server = yield* HttpFixture.make(answer)
  const config = configOf({
    scheme: "BASIC_WITH_JWT",
    settings: { loginUrl: `${server.origin}/login`, ...settings },
    hosts: [server.host]
  })
  const strategy = yield* BasicWithJwt.make
  yield* strategy.check(config)
  const { decide, send } = strategy.renewal ?? assert.fail("no renewal")
  const connection = connect(config, person)
  const verdict = decide?.(yield* send(connection), connection) ?? assert.fail("no decision")
  assert.lengthOf(server.requests, 1)
  return { verdict, request: server.requests[0] ?? assert.fail("nothing was sent") }
}, Effect.provide(egress))

const tokensOf = ({ verdict }: Effect.Success<ReturnType<typeof logIn>>) =>
  verdict._tag === "Renewed" ? verdict.tokens : assert.fail(JSON.stringify(verdict))

describe("a login", () => {
  it.live("sends the credentials in a Basic header", () =>
    Effect.gen(function* () {
      const { request } = yield* logIn(HttpFixture.json({ token: "t" }))
      assert.deepInclude(request, { method: "POST", path: "/login", body: "" })
      const basic = request.headers.authorization?.replace("Basic ", "") ?? ""
      assert.strictEqual(Buffer.from(basic, "base64").toString(), "ada:päss:word")
    })
  )

  it.live("sends them as JSON fields, under the names in the settings", () =>
    Effect.gen(function* () {
      const { request } = yield* logIn(HttpFixture.json({ token: "t" }), {
        credentialsIn: "json",
        usernameField: "email",
        passwordField: "pass",
        loginFields: { tenant: "acme" },
        loginHeaders: { "x-version": "2" }
      })
      assert.isUndefined(request.headers.authorization)
      assert.strictEqual(request.headers["x-version"], "2")
      assert.strictEqual(request.headers["content-type"], "application/json")
      assert.deepStrictEqual(JSON.parse(request.body), { email: "ada", pass: "päss:word", tenant: "acme" })
    })
  )

  it.live("sends them as a form", () =>
    Effect.gen(function* () {
      const { request } = yield* logIn(HttpFixture.json({ token: "t" }), { credentialsIn: "form" })
      assert.strictEqual(request.headers["content-type"], "application/x-www-form-urlencoded")
      assert.deepStrictEqual(Object.fromEntries(new URLSearchParams(request.body)), person)
    })
  )
})

describe("its answer", () => {
  for (const { answer, name, settings } of [
    { name: "has the token in access_token", answer: { access_token: "the-token" }, settings: {} },
    { name: "has the token in token", answer: { token: "the-token" }, settings: {} },
    {
      name: "has the token where the settings say",
      answer: { data: { jwt: "the-token" } },
      settings: { tokenField: "data.jwt" }
    }
  ]) {
    it.live(name, () =>
      Effect.gen(function* () {
        const tokens = tokensOf(yield* logIn(HttpFixture.json(answer), settings))
        assert.strictEqual(Redacted.value(tokens.accessToken), "the-token")
        assert.isUndefined(tokens.expiresIn)
        assert.deepStrictEqual(tokens.irregularities, [])
      })
    )
  }

  it.live("expires when the answer says so", () =>
    Effect.gen(function* () {
      const token = unsigned({ exp: 1 })
      const tokens = tokensOf(yield* logIn(HttpFixture.json({ token, expires_in: 120 })))
      assert.strictEqual(tokens.expiresIn, 120)
    })
  )

  it.effect("expires when the token says so, if the answer does not", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_800_000_000_000)
      const token = unsigned({ exp: 1_800_000_600 })
      assert.strictEqual(tokensOf(yield* logIn(HttpFixture.json({ token }))).expiresIn, 600)
      const over = unsigned({ exp: 1_799_999_999 })
      assert.strictEqual(tokensOf(yield* logIn(HttpFixture.json({ token: over }))).expiresIn, 0)
    })
  )

  it.live("without a token is ambiguous", () =>
    Effect.gen(function* () {
      const { verdict } = yield* logIn(HttpFixture.json({ data: {} }), { tokenField: "data.jwt" })
      assert.strictEqual(verdict._tag, "Ambiguous")
    })
  )

  it.live("401 means that the password is wrong, and not that the application is at fault", () =>
    Effect.gen(function* () {
      const { verdict } = yield* logIn(HttpFixture.json({ error: "invalid_client" }, 401))
      assert.deepStrictEqual(verdict, { _tag: "Dead", code: "http_401" })
    })
  )

  it.live("403 means a wrong password only if the settings say so", () =>
    Effect.gen(function* () {
      const answer = HttpFixture.json({ error: "forbidden" }, 403)
      assert.deepStrictEqual((yield* logIn(answer)).verdict, { _tag: "Misconfigured", code: "forbidden" })
      const { verdict } = yield* logIn(answer, { rejectedStatuses: [403] })
      assert.deepStrictEqual(verdict, { _tag: "Dead", code: "http_403" })
    })
  )

  it.live("500 and 503 say nothing about the password", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* logIn(HttpFixture.json({}, 500))).verdict._tag, "Ambiguous")
      assert.strictEqual((yield* logIn(HttpFixture.json({}, 503))).verdict._tag, "Transient")
    })
  )
})

describe("settings", () => {
  it.effect("need a login url", () =>
    Effect.gen(function* () {
      const strategy = yield* BasicWithJwt.make
      for (const settings of [{}, { loginUrl: "/login" }]) {
        const error = yield* Effect.flip(strategy.check(configOf({ scheme: "BASIC_WITH_JWT", settings, hosts: [] })))
        assert.include(error.message, "loginUrl")
      }
    }).pipe(Effect.provide(egress))
  )
})
