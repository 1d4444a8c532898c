import { assert, describe, it } from "@effect/vitest"
import { ProviderProfile, strict } from "@rekindle/core/ProviderProfile"
import * as Providers from "@rekindle/engine/Providers"
import { at, attributesOf, issuedTokens, parseBody } from "@rekindle/engine/TokenResponse"
import { decide } from "@rekindle/engine/Verdict"
import { Redacted } from "effect"
import * as oauth from "oauth4webapi"

const bearer = { access_token: "at-new", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-new" }

/** 2026-11-26T12:00:00Z, in epoch milliseconds. */
const receivedAt = 1_795_694_400_000

const tokensIn = (body: Readonly<Record<string, unknown>>, profile = strict) => {
  const tokens = issuedTokens(body, profile, receivedAt)
  if (tokens === undefined) return assert.fail("no tokens")
  return tokens
}

const text = (value: Redacted.Redacted<string> | undefined) => (value === undefined ? undefined : Redacted.value(value))

describe("tokens that a strict client throws away", () => {
  const server: oauth.AuthorizationServer = { issuer: "https://as.example", token_endpoint: "https://as.example/token" }
  const client: oauth.Client = { client_id: "c" }

  const rows: ReadonlyArray<
    readonly [
      name: string,
      status: number,
      body: Readonly<Record<string, unknown>>,
      irregularities: ReadonlyArray<string>
    ]
  > = [
    ["status 201", 201, bearer, []],
    ["a missing token_type", 200, { ...bearer, token_type: undefined }, ["token_type is missing"]],
    ["an unknown token_type", 200, { ...bearer, token_type: "mac" }, ["token_type is not an accepted one"]],
    ["expires_in: null", 200, { ...bearer, expires_in: null }, ["expires_in is not a number"]],
    ["refresh_token: null", 200, { ...bearer, refresh_token: null }, ["refresh_token is empty or not a string"]],
    ["an empty refresh_token", 200, { ...bearer, refresh_token: "" }, ["refresh_token is empty or not a string"]],
    ["scope as an array", 200, { ...bearer, scope: ["read", "write"] }, ["scope is not a string"]],
    ["a bad id_token", 200, { ...bearer, id_token: "not.a-jwt" }, []],
    ["an id_token that is no string", 200, { ...bearer, id_token: { a: 1 } }, ["id_token is empty or not a string"]]
  ]

  it.each(rows)("are kept: %s", async (_, status, body, irregularities) => {
    // The premise: oauth4webapi refuses this very answer.
    const strictly = await oauth.processRefreshTokenResponse(server, client, Response.json(body, { status })).then(
      () => "taken",
      () => "refused"
    )
    assert.strictEqual(strictly, "refused")

    const verdict = decide(
      {
        _tag: "Answer",
        status,
        contentType: "application/json",
        retryAfter: undefined,
        body: JSON.stringify(body),
        receivedAt: 0
      },
      strict,
      { access_token: Redacted.make("at-held") }
    )
    if (verdict._tag !== "Renewed") return assert.fail(verdict._tag)
    assert.strictEqual(text(verdict.tokens.accessToken), "at-new")
    assert.deepStrictEqual(verdict.tokens.irregularities, irregularities)
  })

  it("keep the refresh token unless it is the field that is broken", () => {
    for (const [, , body] of rows) {
      const expected = typeof body["refresh_token"] === "string" && body["refresh_token"] !== "" ? "rt-new" : undefined
      assert.strictEqual(text(tokensIn(body).refreshToken), expected)
    }
  })
})

describe("a token answer", () => {
  it("is read completely", () => {
    const tokens = tokensIn({ ...bearer, scope: "read write", id_token: "e30.e30." })
    assert.strictEqual(text(tokens.accessToken), "at-new")
    assert.strictEqual(text(tokens.refreshToken), "rt-new")
    assert.strictEqual(text(tokens.idToken), "e30.e30.")
    assert.deepInclude(tokens, { tokenType: "Bearer", expiresIn: 3600, scope: "read write", irregularities: [] })
    assert.deepStrictEqual(attributesOf(tokens), { token_type: "Bearer", scope: "read write", expires_in: 3600 })
  })

  it("includes the fields that the profile keeps, wherever the tokens are", () => {
    const { profile } = Providers.slackUser
    const user = { access_token: "xoxp-1", token_type: "user" }
    const tokens = tokensIn({ ok: true, team: { id: "T1", name: "Acme" }, authed_user: user }, profile)
    assert.deepStrictEqual(attributesOf(tokens), {
      "team.id": "T1",
      token_type: "user",
      scope: undefined,
      expires_in: undefined
    })
    for (const team of [undefined, null, "T1", { id: null }, { id: { deep: 1 } }]) {
      assert.notProperty(attributesOf(tokensIn({ ...user, team }, profile)), "team.id")
    }
  })

  it("needs only an access token", () => {
    const tokens = tokensIn({ access_token: "at" })
    assert.deepInclude(tokens, {
      refreshToken: undefined,
      idToken: undefined,
      tokenType: "bearer",
      expiresIn: undefined,
      scope: undefined
    })
  })

  it("has no tokens without a usable access token", () => {
    for (const access_token of [undefined, null, "", 5, {}, ["at"], true]) {
      assert.isUndefined(issuedTokens({ access_token, refresh_token: "rt" }, strict, receivedAt))
    }
  })

  it("shows no secret when it is printed", () => {
    const tokens = tokensIn({ ...bearer, id_token: "it-new" })
    const shown = `${JSON.stringify(tokens)} ${Object.values(tokens).map(String).join(" ")}`
    for (const token of ["at-new", "rt-new", "it-new"]) assert.notInclude(shown, token)
  })

  it.each([
    [3600, 3600],
    ["600", 600],
    [" 600 ", 600],
    [599.9, 599],
    [0, 0],
    ["", undefined],
    ["soon", undefined],
    [-1, undefined],
    [1e308, undefined],
    ["1e400", undefined],
    [null, undefined],
    [[3600], undefined],
    [true, undefined]
  ])("with expires_in %j lives for %j seconds", (expires_in, expected) => {
    assert.strictEqual(tokensIn({ access_token: "at", expires_in }).expiresIn, expected)
  })

  it.each([
    ["2026-11-26T13:00:00Z", 3600],
    ["2026-11-26T14:00:00+01:00", 3600],
    [1_795_698_000, 3600],
    ["1795698000", 3600],
    [1_795_698_000_000, 3600],
    ["2026-11-26T11:59:59Z", undefined],
    ["tomorrow", undefined],
    [-1, undefined],
    [1e300, undefined],
    [null, undefined],
    [undefined, undefined]
  ])("with the expiry at %j, in a field that its profile names, lives for %j seconds", (expires_at, expected) => {
    const profile = ProviderProfile.make({ name: "p", rotation: "none", expiresAtField: "expires_at" })
    assert.strictEqual(tokensIn({ access_token: "at", expires_at }, profile).expiresIn, expected)
    assert.strictEqual(tokensIn({ access_token: "at", expires_at, expires_in: 60 }, profile).expiresIn, 60)
    assert.isUndefined(tokensIn({ access_token: "at", expires_at }).expiresIn)
  })

  it("accepts the token types of its provider in any case", () => {
    assert.deepStrictEqual(tokensIn({ ...bearer, token_type: "DPoP" }).irregularities, [])
    assert.deepStrictEqual(tokensIn({ ...bearer, token_type: "bot" }, Providers.slack.profile).irregularities, [])
    assert.deepStrictEqual(tokensIn({ ...bearer, token_type: "bot" }).irregularities, [
      "token_type is not an accepted one"
    ])
  })
})

describe("tokens under a path", () => {
  const { profile } = Providers.slackUser

  it("are preferred to those at the top", () => {
    const tokens = tokensIn(
      {
        ok: true,
        access_token: "xoxb",
        refresh_token: "xoxe-bot",
        token_type: "bot",
        expires_in: 1,
        authed_user: {
          access_token: "xoxp",
          refresh_token: "xoxe-user",
          token_type: "user",
          expires_in: 43_200,
          scope: "chat:write"
        }
      },
      profile
    )
    assert.strictEqual(text(tokens.accessToken), "xoxp")
    assert.strictEqual(text(tokens.refreshToken), "xoxe-user")
    assert.deepInclude(tokens, { tokenType: "user", expiresIn: 43_200, scope: "chat:write", irregularities: [] })
  })

  it("are never completed with those of another grant", () => {
    const tokens = tokensIn(
      { access_token: "xoxb", refresh_token: "xoxe-bot", authed_user: { access_token: "xoxp" } },
      profile
    )
    assert.strictEqual(text(tokens.accessToken), "xoxp")
    assert.isUndefined(tokens.refreshToken)
  })

  it.each([undefined, null, {}, { id: "U1" }, "U1", { access_token: "" }])(
    "are taken from the top when %j is there instead",
    (authed_user) => {
      const tokens = tokensIn({ ok: true, access_token: "xoxp", refresh_token: "xoxe-user", authed_user }, profile)
      assert.strictEqual(text(tokens.accessToken), "xoxp")
      assert.strictEqual(text(tokens.refreshToken), "xoxe-user")
    }
  )
})

describe("a body", () => {
  it("is parsed as JSON whatever its content type", () => {
    assert.deepStrictEqual(parseBody(`{"a":1}`, "text/html"), { a: 1 })
    assert.deepStrictEqual(parseBody(`{"a":1}`, undefined), { a: 1 })
  })

  it("is parsed as a form if its content type says so, or if it has the form of one", () => {
    assert.deepStrictEqual(parseBody("a=1&b=x+y", "application/x-www-form-urlencoded"), { a: "1", b: "x y" })
    assert.deepStrictEqual(parseBody("a=1&b=2", "text/plain"), { a: "1", b: "2" })
  })

  it("is undefined if it is neither", () => {
    for (const body of ["", "null", "[1]", '"a"', "5", "<a href=x>", '{"a":'])
      assert.isUndefined(parseBody(body, "application/json"))
  })

  it("cannot reach prototypes", () => {
    const body = parseBody(`{"__proto__":{"access_token":"at"}}`, undefined)
    assert.isUndefined(issuedTokens(body ?? {}, strict, receivedAt))
    assert.isUndefined(Object.getOwnPropertyDescriptor(Object.prototype, "access_token"))
  })
})

describe("a path into a body", () => {
  it("leads to a value, or nowhere", () => {
    const body = { a: { b: "c" }, n: null, s: "text" }
    assert.strictEqual(at(body, "a.b"), "c")
    for (const path of ["a.x", "x", "n.a", "s.length", "a.b.c", ""]) assert.isUndefined(at(body, path))
    assert.isUndefined(at(undefined, "a"))
  })
})

describe("text around an answer", () => {
  const form = "access_token=at-new&token_type=bearer&expires_in=3600&refresh_token=rt-new"
  const json = JSON.stringify(bearer)
  const around: ReadonlyArray<(body: string) => string> = [
    (body) => `${body}\n`,
    (body) => `${body}\r\n\r\n`,
    (body) => `\r\n ${body}\t `,
    (body) => `\uFEFF${body}`,
    (body) => `\uFEFF \uFEFF${body}\n`,
    (body) => `${body}\0`,
    (body) => `\u00A0${body}\u2028`
  ]
  const contentTypes = ["application/json", "application/x-www-form-urlencoded", "text/plain", "text/html", undefined]

  for (const [name, body] of [
    ["form", form],
    ["JSON", json]
  ] as const) {
    it.each(contentTypes)(`is not part of a token: ${name} as %s`, (contentType) => {
      for (const surround of around) {
        const surrounded = surround(body)
        const verdict = decide(
          { _tag: "Answer", status: 200, contentType, retryAfter: undefined, body: surrounded, receivedAt },
          strict
        )
        if (verdict._tag !== "Renewed") return assert.fail(`${JSON.stringify(surrounded)}: ${verdict._tag}`)
        assert.strictEqual(text(verdict.tokens.accessToken), "at-new")
        assert.strictEqual(text(verdict.tokens.refreshToken), "rt-new", JSON.stringify(surrounded))
        assert.strictEqual(verdict.tokens.expiresIn, 3600)
      }
    })
  }

  it("is not part of a token in JSON, and is reported as irregular", () => {
    const tokens = tokensIn({
      ...bearer,
      access_token: "at-new\n",
      refresh_token: " rt-new\r\n",
      token_type: "Bearer\n"
    })
    assert.deepStrictEqual([text(tokens.accessToken), text(tokens.refreshToken)], ["at-new", "rt-new"])
    assert.strictEqual(tokens.tokenType, "Bearer")
    assert.deepStrictEqual(tokens.irregularities, [
      "access_token is surrounded by white space",
      "refresh_token is surrounded by white space"
    ])
    assert.isUndefined(issuedTokens({ access_token: " \n" }, strict, receivedAt))
  })

  it("is removed in linear time", () => {
    // quadratic, this would take the better part of an hour
    const body = `access_token=at${" ".repeat(1024 * 1024)}x`
    assert.isUndefined(parseBody(body, "text/plain"))
  })
})
