import { assert, describe, it } from "@effect/vitest"
import { ProviderProfile, strict } from "@rekindle/core/ProviderProfile"
import * as Providers from "@rekindle/engine/Providers"
import { decide, type Observation, retryAfterCap, type Verdict } from "@rekindle/engine/Verdict"
import { Arbitrary, Duration, Redacted, Schema } from "effect"

const receivedAt = Date.UTC(2026, 0, 15, 12)

const answer = (
  status: number,
  body: unknown,
  headers: { readonly contentType?: string; readonly retryAfter?: string } = {}
): Observation => ({
  _tag: "Answer",
  status,
  contentType: headers.contentType ?? "application/json",
  retryAfter: headers.retryAfter,
  body: typeof body === "string" ? body : JSON.stringify(body),
  receivedAt
})

/** A verdict in one line: its tag, and its code or reason. */
const told = (verdict: Verdict): string => {
  switch (verdict._tag) {
    case "Renewed":
    case "NotRenewed":
      return verdict._tag
    case "Refused":
    case "NotApplied":
    case "Ambiguous":
      return `${verdict._tag} ${verdict.reason}`
    default:
      return `${verdict._tag} ${verdict.code}`
  }
}

const bearer = { access_token: "at-new", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-new" }

type Row = readonly [name: string, observation: Observation, expected: string]

const held = { access_token: Redacted.make("at-held"), refresh_token: Redacted.make("rt-held") }

describe("the decision table, for a provider that follows RFC 6749", () => {
  const rows: ReadonlyArray<Row> = [
    ["a failure before sending is not applied", { _tag: "NotSent", reason: "ECONNREFUSED" }, "NotApplied ECONNREFUSED"],

    ["a timeout after sending is ambiguous", { _tag: "NoAnswer", reason: "timeout" }, "Ambiguous timeout"],
    ["a reset after sending is ambiguous", { _tag: "NoAnswer", reason: "ECONNRESET" }, "Ambiguous ECONNRESET"],
    ["a 500 is ambiguous", answer(500, "oops"), "Ambiguous http_500"],
    [
      "a 502 with a page is ambiguous",
      answer(502, "<html>Bad gateway</html>", { contentType: "text/html" }),
      "Ambiguous http_502"
    ],
    ["a 504 is ambiguous", answer(504, ""), "Ambiguous http_504"],
    ["a 500 that says server_error is ambiguous", answer(500, { error: "server_error" }), "Ambiguous server_error"],
    [
      "a 500 that says invalid_grant is still an outage",
      answer(500, { error: "invalid_grant" }),
      "Ambiguous invalid_grant"
    ],
    [
      "a 400 that says server_error is a 500 in disguise",
      answer(400, { error: "server_error" }),
      "Ambiguous server_error"
    ],
    ["a 408 is ambiguous", answer(408, ""), "Ambiguous http_408"],
    ["a 409 is ambiguous", answer(409, ""), "Ambiguous http_409"],
    [
      "a truncated 200 is ambiguous",
      answer(200, JSON.stringify(bearer).slice(0, 30)),
      "Ambiguous answer without tokens"
    ],
    ["an empty 200 is ambiguous", answer(200, ""), "Ambiguous answer without tokens"],
    ["a 204 is ambiguous", answer(204, ""), "Ambiguous answer without tokens"],
    ["a page with status 200 is ambiguous", answer(200, "<html>Sign in</html>"), "Ambiguous answer without tokens"],
    [
      "a 200 of another shape is ambiguous",
      answer(200, { status: "success", code: "done" }),
      "Ambiguous answer without tokens"
    ],
    ["a redirect that may follow what was done is ambiguous", answer(302, ""), "Ambiguous redirected_302"],
    ["a redirect of a POST to its result is ambiguous", answer(303, ""), "Ambiguous redirected_303"],
    ["an address that has moved did nothing", answer(301, ""), "Misconfigured redirected_301"],
    ["a request to be sent elsewhere did nothing", answer(307, ""), "Misconfigured redirected_307"],
    ["a request to be sent elsewhere for good did nothing", answer(308, ""), "Misconfigured redirected_308"],
    [
      "a request that our rules refuse is refused",
      { _tag: "Refused", reason: "plain_http: a.test" },
      "Refused plain_http: a.test"
    ],

    ["a 429 is transient", answer(429, ""), "Transient http_429"],
    ["a 503 is transient", answer(503, "<html>Maintenance</html>"), "Transient http_503"],
    [
      "a 503 that says invalid_grant is still transient",
      answer(503, { error: "invalid_grant" }),
      "Transient invalid_grant"
    ],
    ["a 400 that asks to slow down is transient", answer(400, { error: "slow_down" }), "Transient slow_down"],
    [
      "temporarily_unavailable is transient",
      answer(400, { error: "temporarily_unavailable" }),
      "Transient temporarily_unavailable"
    ],

    ["a 400 invalid_grant is dead", answer(400, { error: "invalid_grant" }), "Dead invalid_grant"],
    ["a 401 invalid_grant is dead", answer(401, { error: "invalid_grant" }), "Dead invalid_grant"],
    [
      "a form-encoded invalid_grant is dead",
      answer(400, "error=invalid_grant", { contentType: "application/x-www-form-urlencoded" }),
      "Dead invalid_grant"
    ],

    [
      "a 401 invalid_client is the application's fault",
      answer(401, { error: "invalid_client" }),
      "AppFault invalid_client"
    ],
    [
      "a 400 invalid_client is the application's fault",
      answer(400, { error: "invalid_client" }),
      "AppFault invalid_client"
    ],
    [
      "unauthorized_client is the application's fault",
      answer(400, { error: "unauthorized_client" }),
      "AppFault unauthorized_client"
    ],

    [
      "a 400 invalid_request is a configuration fault",
      answer(400, { error: "invalid_request" }),
      "Misconfigured invalid_request"
    ],
    [
      "a 400 invalid_scope is a configuration fault",
      answer(400, { error: "invalid_scope" }),
      "Misconfigured invalid_scope"
    ],
    [
      "prose that sounds like invalid_grant is not the code",
      answer(400, { error: "invalid grant" }),
      "Misconfigured invalid_grant"
    ],
    ["a 404 is a configuration fault", answer(404, "not found"), "Misconfigured http_404"],
    ["a firewall's 403 is a configuration fault", answer(403, "<html>Denied</html>"), "Misconfigured http_403"],
    ["a bare 401 says nothing about the token", answer(401, ""), "Misconfigured http_401"],

    ["a 200 with error invalid_grant is dead", answer(200, { error: "invalid_grant" }), "Dead invalid_grant"],
    [
      "a 200 with error invalid_client is the application's fault",
      answer(200, { error: "invalid_client" }),
      "AppFault invalid_client"
    ],
    ["a 200 with another error is a configuration fault", answer(200, { error: "odd" }), "Misconfigured odd"],
    ["a 200 with ok false and no code is a refusal", answer(200, { ok: false }), "Misconfigured refused"],

    ["a 200 with tokens renewed", answer(200, bearer), "Renewed"],
    ["a 201 with tokens renewed", answer(201, bearer), "Renewed"],
    ["tokens beside an error renewed", answer(200, { ...bearer, error: "invalid_scope" }), "Renewed"],
    [
      "the held token with a new refresh token renewed",
      answer(200, { access_token: "at-held", refresh_token: "rt-new" }),
      "Renewed"
    ],
    ["the held token alone did not renew", answer(200, { access_token: "at-held", expires_in: 120 }), "NotRenewed"],
    ["both held tokens did not renew", answer(200, { access_token: "at-held", refresh_token: "rt-held" }), "NotRenewed"]
  ]

  it.each(rows)("%s", (_, observation, expected) => {
    assert.strictEqual(told(decide(observation, strict, held)), expected)
  })

  it("judges the first token of an account as renewed", () => {
    assert.strictEqual(told(decide(answer(200, { access_token: "at" }), strict)), "Renewed")
  })
})

describe("the decision table, provider by provider", () => {
  const rows: ReadonlyArray<readonly [provider: Providers.Provider, ...row: Row]> = [
    [
      Providers.google,
      "a reauthentication demanded by session control is dead",
      answer(400, {
        error: "invalid_grant",
        error_description: "reauth related error (invalid_rapt)",
        error_subtype: "invalid_rapt"
      }),
      "Dead invalid_grant"
    ],
    [
      Providers.entra(),
      "an expired token is dead",
      answer(400, {
        error: "invalid_grant",
        error_description: "AADSTS700082: The refresh token has expired due to inactivity.",
        error_codes: [700_082]
      }),
      "Dead invalid_grant"
    ],
    [
      Providers.entra(),
      "a required interaction is dead",
      answer(400, {
        error: "interaction_required",
        error_description: "AADSTS50076: Due to a configuration change…",
        error_codes: [50_076]
      }),
      "Dead interaction_required"
    ],
    [
      Providers.entra(),
      "a passing fault is transient, whatever code it comes with",
      answer(400, {
        error: "invalid_grant",
        error_description: "AADSTS90033: A transient error has occurred. Please try again.",
        error_codes: [90_033]
      }),
      "Transient invalid_grant"
    ],
    [
      Providers.entra(),
      "a wrong secret is the application's fault",
      answer(401, { error: "invalid_client", error_description: "AADSTS7000215: Invalid client secret provided." }),
      "AppFault invalid_client"
    ],
    [
      Providers.githubApp,
      "a dead token is a 200",
      answer(200, { error: "bad_refresh_token" }),
      "Dead bad_refresh_token"
    ],
    [
      Providers.githubApp,
      "a dead token may be form-encoded",
      answer(200, "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired.", {
        contentType: "application/x-www-form-urlencoded; charset=utf-8"
      }),
      "Dead bad_refresh_token"
    ],
    [
      Providers.githubApp,
      "a wrong secret is the application's fault",
      answer(200, { error: "incorrect_client_credentials" }),
      "AppFault incorrect_client_credentials"
    ],
    [
      Providers.githubApp,
      "form-encoded tokens are kept",
      answer(200, "access_token=ghu_a&expires_in=28800&refresh_token=ghr_b&scope=&token_type=bearer", {
        contentType: "application/x-www-form-urlencoded"
      }),
      "Renewed"
    ],
    [
      Providers.slack,
      "a dead token is a 200",
      answer(200, { ok: false, error: "invalid_refresh_token" }),
      "Dead invalid_refresh_token"
    ],
    [
      Providers.slack,
      "a revoked token is dead",
      answer(200, { ok: false, error: "token_revoked" }),
      "Dead token_revoked"
    ],
    [
      Providers.slack,
      "a fatal error may have rotated",
      answer(200, { ok: false, error: "fatal_error" }),
      "Ambiguous fatal_error"
    ],
    [
      Providers.slack,
      "a rate limit is transient",
      answer(200, { ok: false, error: "ratelimited" }),
      "Transient ratelimited"
    ],
    [
      Providers.slack,
      "a wrong secret is the application's fault",
      answer(200, { ok: false, error: "bad_client_secret" }),
      "AppFault bad_client_secret"
    ],
    [
      Providers.slack,
      "bot tokens are kept",
      answer(200, {
        ok: true,
        access_token: "xoxe.xoxb-1",
        token_type: "bot",
        refresh_token: "xoxe-1",
        expires_in: 43_200
      }),
      "Renewed"
    ],
    [
      Providers.hubspot,
      "a dead token is known by its status field",
      answer(400, { status: "BAD_REFRESH_TOKEN", message: "missing or invalid refresh token" }),
      "Dead BAD_REFRESH_TOKEN"
    ],
    [
      Providers.hubspot,
      "a wrong client is the application's fault",
      answer(400, { status: "BAD_CLIENT_ID", message: "missing or invalid client id" }),
      "AppFault BAD_CLIENT_ID"
    ],
    [
      Providers.atlassian,
      "a dead token is a 403",
      answer(403, { error: "invalid_grant", error_description: "Unknown or invalid refresh token." }),
      "Dead invalid_grant"
    ],
    [Providers.atlassian, "a 403 alone is not a dead token", answer(403, "Forbidden"), "Misconfigured http_403"],
    [
      Providers.atlassian,
      "a wrong secret is not a dead token",
      answer(401, { error: "access_denied", error_description: "Unauthorized" }),
      "Misconfigured access_denied"
    ],
    [
      Providers.x,
      "a dead token is an invalid_request",
      answer(400, { error: "invalid_request", error_description: "Value passed for the token was invalid." }),
      "Dead invalid_request"
    ],
    [
      Providers.x,
      "another invalid_request is a configuration fault",
      answer(400, { error: "invalid_request", error_description: "Missing required parameter [client_id]." }),
      "Misconfigured invalid_request"
    ],
    [
      Providers.exactOnline,
      "an old token is dead, although its code blames the application",
      answer(401, { error: "unauthorized_client", error_description: "Old refresh token used." }),
      "Dead unauthorized_client"
    ],
    [
      Providers.exactOnline,
      "an expired token is dead",
      answer(400, {
        error: "invalid_request",
        error_description: "The refresh token expired at 10/11/2022 9:18:20 PM and it is now 10/28/2022 4:15:50 PM."
      }),
      "Dead invalid_request"
    ],
    [
      Providers.exactOnline,
      "a wrong secret is the application's fault",
      answer(401, { error: "unauthorized_client", error_description: "Invalid client secret." }),
      "AppFault unauthorized_client"
    ],
    [
      Providers.exactOnline,
      "a request too early is transient",
      answer(400, { error: "Rate limit exceeded: access_token not expired" }),
      "Transient Rate_limit_exceeded:_access_token_not_expired"
    ],
    [Providers.box, "an empty 409 is ambiguous", answer(409, ""), "Ambiguous http_409"],
    [
      Providers.box,
      "an expired token is dead",
      answer(400, { error: "invalid_grant", error_description: "Refresh token has expired" }),
      "Dead invalid_grant"
    ],
    [
      Providers.salesforce("acme"),
      "tokens without a lifetime are kept",
      answer(200, {
        access_token: "00D…",
        instance_url: "https://acme.my.salesforce.com",
        token_type: "Bearer",
        issued_at: "1768478400000"
      }),
      "Renewed"
    ]
  ]

  it.each(rows.map(([provider, ...row]) => [provider.profile.name, ...row, provider] as const))(
    "%s: %s",
    (_name, _row, observation, expected, provider) => {
      assert.strictEqual(told(decide(observation, provider.profile)), expected)
    }
  )

  it.each(
    [
      Providers.google,
      Providers.xero,
      Providers.quickbooks,
      Providers.zoom,
      Providers.dropbox,
      Providers.linkedin,
      Providers.notion,
      Providers.linear,
      Providers.discord,
      Providers.spotify,
      Providers.calendly,
      Providers.ringcentral,
      Providers.shopify("a"),
      Providers.zendesk("a"),
      Providers.salesforce()
    ].map((provider) => [provider.profile.name, provider] as const)
  )("%s: invalid_grant is dead and an outage is not", (_, { profile }) => {
    assert.strictEqual(told(decide(answer(400, { error: "invalid_grant" }), profile)), "Dead invalid_grant")
    assert.strictEqual(told(decide(answer(502, { error: "invalid_grant" }), profile)), "Ambiguous invalid_grant")
    assert.strictEqual(told(decide(answer(401, { error: "invalid_client" }), profile)), "AppFault invalid_client")
  })
})

describe("dead-token matchers", () => {
  const profile = (matcher: (typeof ProviderProfile.Type)["deadToken"][number]) =>
    ProviderProfile.make({ name: "test", rotation: "single-use", deadToken: [matcher] })

  it("with only a status match that status alone", () => {
    assert.strictEqual(told(decide(answer(410, ""), profile({ status: 410 }))), "Dead http_410")
    assert.strictEqual(told(decide(answer(404, ""), profile({ status: 410 }))), "Misconfigured http_404")
  })

  it("without a status and a field match nothing", () => {
    assert.strictEqual(told(decide(answer(404, { error: "x" }), profile({}))), "Misconfigured x")
  })

  it("with only a field match any string in it", () => {
    assert.strictEqual(told(decide(answer(400, { dead: "yes" }), profile({ field: "dead" }))), "Dead http_400")
    assert.strictEqual(told(decide(answer(400, { dead: true }), profile({ field: "dead" }))), "Misconfigured http_400")
  })

  it("follow dotted fields", () => {
    const matcher = { field: "error.details.reason", values: ["TOKEN_GONE"] }
    assert.strictEqual(
      told(decide(answer(400, { error: { details: { reason: "TOKEN_GONE" } } }), profile(matcher))),
      "Dead http_400"
    )
    assert.strictEqual(told(decide(answer(400, { error: "TOKEN_GONE" }), profile(matcher))), "Misconfigured TOKEN_GONE")
  })

  it("do not match an outage unless they name its status", () => {
    const body = { error: "gone" }
    assert.strictEqual(told(decide(answer(500, body), profile({ field: "error", values: ["gone"] }))), "Ambiguous gone")
    assert.strictEqual(told(decide(answer(429, body), profile({ field: "error", values: ["gone"] }))), "Transient gone")
    assert.strictEqual(
      told(decide(answer(500, body), profile({ status: 500, field: "error", values: ["gone"] }))),
      "Dead gone"
    )
  })
})

describe("Retry-After", () => {
  const waited = (retryAfter: string | undefined, status = 429): number | undefined => {
    const verdict = decide(answer(status, "", retryAfter === undefined ? {} : { retryAfter }), strict)
    if (verdict._tag !== "Transient") return assert.fail(verdict._tag)
    return verdict.retryAfter === undefined ? undefined : Duration.toSeconds(verdict.retryAfter)
  }
  const cap = Duration.toSeconds(retryAfterCap)

  it.each([
    [undefined, undefined],
    ["", undefined],
    ["soon", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["0", 0],
    ["30", 30],
    [" 30 ", 30],
    ["86400", cap],
    ["9".repeat(400), cap],
    ["Thu, 15 Jan 2026 12:01:30 GMT", 90],
    ["Thu, 15 Jan 2026 11:00:00 GMT", 0],
    ["Fri, 15 Jan 2027 12:00:00 GMT", cap]
  ] as const)("%j is read as %j seconds", (value, expected) => {
    assert.strictEqual(waited(value), expected)
    assert.strictEqual(waited(value, 503), expected)
  })
})

describe("the code of a failure", () => {
  const code = (body: unknown, status = 400): string => told(decide(answer(status, body), strict)).replace(/^\w+ /, "")

  it.each([
    ["error", { error: "invalid_scope" }, "invalid_scope"],
    ["error.code", { error: { code: "NOT_ALLOWED", message: "no" } }, "NOT_ALLOWED"],
    ["error.type", { error: { code: 190, type: "OAuthException" } }, "OAuthException"],
    ["errorCode", { errorCode: "E4702" }, "E4702"],
    ["error_code", { error_code: "AADSTS70000" }, "AADSTS70000"],
    ["code", { code: "validation_error" }, "validation_error"],
    ["words", { error: "Access Denied" }, "Access_Denied"],
    ["camel case", { error: "invalidRefreshRequest" }, "invalidRefreshRequest"]
  ])("is taken from %s", (_, body, expected) => {
    assert.strictEqual(code(body), expected)
  })

  it("is the first value in the form of a code", () => {
    assert.strictEqual(
      code({ error: "eyJhbGciOiJIUzI1NiJ9.e30.Et9HFtf9R3GEMA0IICOfFMVXY7kkTX1wr4qCyIf58U", error_code: "odd" }),
      "odd"
    )
  })

  it.each([
    "xoxe-1-My0xLTEwMDAtMjAwMC0zMDAw",
    "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
    "1//0gFzJ6vZJ9Q2uCgYIARAAGBASNwF-L9Ir",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "AbCdEfGhIjKlMnOpQrStUvWxYz",
    "the refresh token 6f9619ff8b86d011 is invalid",
    "qwertyuiopasdfghjklzxcvbnmqwerty",
    "word ".repeat(20),
    "línea"
  ])("is not repeated if it may be a secret: %s", (value) => {
    for (const path of ["error", "errorCode", "error_code", "code", "status"]) {
      assert.strictEqual(code({ [path]: value }), "unrecognized_error")
    }
    assert.strictEqual(code({ error: { code: value } }), "unrecognized_error")
    assert.strictEqual(code({ error: value }, 200), "unrecognized_error")
  })

  it("is never taken from prose", () => {
    assert.strictEqual(
      code({ error: { message: "secret word" }, message: "secret word", error_description: "secret word" }),
      "http_400"
    )
  })
})

// --- properties -------------------------------------------------------------------------------------------------------------------------

const bytes = Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))), {
  minLength: 24,
  maxLength: 48
})

/** Secrets as providers make them. */
const secret = Arbitrary.map(bytes, (bytes) => {
  const buffer = Buffer.from(bytes)
  const forms = [
    buffer.toString("base64url"),
    buffer.toString("base64"),
    buffer.toString("hex"),
    `ghr_${buffer.toString("base64url")}`,
    `${buffer.toString("hex").slice(0, 8)}-${buffer.toString("hex").slice(8, 12)}-4000-8000-${buffer.toString("hex").slice(12, 24)}`
  ]
  return forms[(bytes[0] ?? 0) % forms.length] ?? ""
})

const junk = Schema.Union([
  Schema.String,
  Schema.Finite,
  Schema.Boolean,
  Schema.Null,
  Schema.Literals(["invalid_grant", "invalid_client", "", "__proto__", "true", "1e400", "bearer"]),
  Schema.Literals([-1, 1e308, Number.MAX_SAFE_INTEGER, 5e-324]),
  Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
  Schema.Record(Schema.Literals(["code", "type", "status", "message", "access_token", "__proto__"]), Schema.String)
])

/** Bodies with the names that matter, holding anything. */
const fields = Schema.Struct(
  Object.fromEntries(
    [
      "access_token",
      "refresh_token",
      "id_token",
      "token_type",
      "expires_in",
      "scope",
      "error",
      "error_description",
      "error_code",
      "errorCode",
      "code",
      "status",
      "ok",
      "success",
      "authed_user",
      "constructor",
      "toString",
      "hasOwnProperty"
    ].map((name) => [name, Schema.optionalKey(junk)])
  )
)

const mangle = (text: string, how: number, cut: number): string => {
  switch (how % 6) {
    case 0:
      return text.slice(0, cut % (text.length + 1))
    case 1:
      return `{"__proto__":${text}}`
    case 2:
      return `{"error":${"[".repeat(200)}${text}${"]".repeat(200)}}`
    case 3:
      return `[${text}]`
    default:
      return text
  }
}

const natural = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const status = Schema.Union([
  Schema.Literals([200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 502, 503, 504]),
  Schema.Int.check(Schema.isBetween({ minimum: 100, maximum: 599 }))
])
const contentType = Schema.Literals(["application/json", "application/x-www-form-urlencoded", "text/html", ""])
const profiles = [
  strict,
  Providers.slackUser.profile,
  Providers.exactOnline.profile,
  Providers.hubspot.profile,
  Providers.entra().profile
]
const runs = { arbitrary: { runs: 400 } }

const soundness = (observation: Extract<Observation, { readonly _tag: "Answer" }>): void => {
  for (const profile of profiles) {
    const verdict = decide(observation, profile, held)
    if (verdict._tag === "Renewed" || verdict._tag === "NotRenewed") {
      const token = Redacted.value(verdict.tokens.accessToken)
      assert.isAbove(token.length, 0)
      assert.isTrue(observation.status >= 200 && observation.status < 300)
      const expiresIn = verdict.tokens.expiresIn ?? undefined
      assert.isTrue(expiresIn === undefined || (Number.isSafeInteger(expiresIn * 1000 + receivedAt) && expiresIn >= 0))
    }
    if (verdict._tag === "Dead") {
      const forms = [
        "invalid_grant",
        ...profile.deadToken.flatMap(({ contains = [], values = [] }) => [...values, ...contains])
      ]
      assert.isTrue(forms.some((form) => observation.body.includes(form)))
      assert.isBelow(observation.status, 500)
    }
    if (verdict._tag === "Transient" && verdict.retryAfter !== undefined) {
      assert.isTrue(Duration.isLessThanOrEqualTo(verdict.retryAfter, retryAfterCap))
      assert.isTrue(Duration.isGreaterThanOrEqualTo(verdict.retryAfter, Duration.zero))
    }
    const said = told(verdict)
    assert.match(said, /^\w+(?: [\w.:-]{1,64}| answer without tokens)?$/)
  }
}

describe("whatever a provider answers", () => {
  it.prop(
    "random text is judged, never dead or renewed without cause, and not repeated",
    { body: Schema.String, contentType, retryAfter: Schema.String, status },
    (answer) => soundness({ _tag: "Answer", ...answer, receivedAt }),
    runs
  )

  it.prop(
    "random bytes are judged alike",
    { bytes, contentType, status },
    ({ bytes, ...answer }) =>
      soundness({
        _tag: "Answer",
        ...answer,
        body: Buffer.from(bytes).toString("latin1"),
        retryAfter: undefined,
        receivedAt
      }),
    runs
  )

  it.prop(
    "the right names with the wrong values, cut short or wrapped, are judged alike",
    { contentType, cut: natural, fields, how: natural, status },
    ({ contentType, cut, fields, how, status }) =>
      soundness({
        _tag: "Answer",
        body: mangle(JSON.stringify(fields), how, cut),
        contentType,
        receivedAt,
        retryAfter: undefined,
        status
      }),
    runs
  )

  it.prop(
    "a complete answer with tokens renews, however odd the rest of it is",
    { fields, token: secret, refresh: secret },
    ({ fields, refresh, token }) => {
      const body = JSON.stringify({ ...fields, access_token: token, refresh_token: refresh, authed_user: undefined })
      for (const profile of profiles) {
        const verdict = decide(answer(200, body), profile, held)
        if (verdict._tag !== "Renewed") return assert.fail(verdict._tag)
        assert.strictEqual(Redacted.value(verdict.tokens.accessToken), token)
        assert.strictEqual(Redacted.value(verdict.tokens.refreshToken ?? Redacted.make("")), refresh)
      }
    },
    runs
  )

  it.prop(
    "a secret anywhere in the body is in no verdict as text",
    { secret, status },
    ({ secret, status }) => {
      const pieces = Array.from({ length: secret.length - 9 }, (_, start) => secret.slice(start, start + 10))
      const bodies = [
        ...[
          "error",
          "errorCode",
          "error_code",
          "code",
          "status",
          "error_description",
          "access_token",
          "token_type"
        ].map((name) => ({ [name]: secret })),
        ...["code", "type", "status", "message"].map((name) => ({ error: { [name]: secret } })),
        { error: `token ${secret}` },
        { error: `invalid:${secret}` },
        { ok: false, error: secret },
        { access_token: "at", scope: 1, refresh_token: secret, expires_in: secret, id_token: secret }
      ]
      for (const body of [
        ...bodies.map((body) => JSON.stringify(body)),
        `error=${encodeURIComponent(secret)}`,
        secret
      ]) {
        const shown = JSON.stringify(decide(answer(status, body), strict))
        for (const piece of pieces) assert.notInclude(shown, piece)
      }
    },
    { arbitrary: { runs: 100 } }
  )
})
