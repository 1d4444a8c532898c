import { assert, describe, it } from "@effect/vitest"
import { ProviderDialect, ScriptedProvider } from "@rekindle/testing"
import { Cause, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"

const { layer } = ScriptedProvider

const provider = Effect.service(ScriptedProvider.ScriptedProvider)

const Answer = Schema.fromJsonString(
  Schema.Struct({
    access_token: Schema.optionalKey(Schema.String),
    refresh_token: Schema.optionalKey(Schema.String),
    expires_in: Schema.optionalKey(Schema.Finite),
    error: Schema.optionalKey(Schema.String)
  })
)

const post = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
  Effect.flatMap(provider, ({ tokenUrl }) => HttpClient.post(tokenUrl, { body: HttpBody.urlParams(fields), headers }))

const renew = (refreshToken: string) => post({ grant_type: "refresh_token", refresh_token: refreshToken })

const read = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(Effect.flatMap(response.text, Schema.decodeEffect(Answer)), (body) => ({
    status: response.status,
    ...body
  }))

/** Spends a token and reads the answer. */
const spend = (refreshToken: string) => Effect.flatMap(renew(refreshToken), read)

const newToken = (answer: { readonly refresh_token?: string }) =>
  answer.refresh_token ?? assert.fail("no refresh token")

describe("a single-use provider", () => {
  it.effect("rotates: each use gives new tokens that work, for as long as they say", () =>
    Effect.gen(function* () {
      const { connect, isLive } = yield* provider
      const first = yield* connect
      assert.isTrue(yield* isLive(first.accessToken))
      const second = yield* spend(first.refreshToken)
      assert.strictEqual(second.status, 200)
      assert.strictEqual(second.expires_in, 3600)
      assert.notStrictEqual(second.refresh_token, first.refreshToken)
      assert.isTrue(yield* isLive(second.access_token ?? ""))
      assert.isTrue(yield* isLive(first.accessToken), "the access token before it lives out its hour")
      yield* TestClock.adjust("1 hour")
      assert.isFalse(yield* isLive(second.access_token ?? ""))
      assert.strictEqual((yield* spend(newToken(second))).status, 200)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("revokes the whole grant on a replay, the winner's tokens included", () =>
    Effect.gen(function* () {
      const { connect, counts, isLive } = yield* provider
      const { refreshToken } = yield* connect
      const answers = yield* Effect.all(
        Array.from({ length: 5 }, () => spend(refreshToken)),
        { concurrency: "unbounded" }
      )
      const winners = answers.filter((answer) => answer.status === 200)
      assert.lengthOf(winners, 1)
      assert.deepStrictEqual(new Set(answers.flatMap((answer) => answer.error ?? [])), new Set(["invalid_grant"]))
      const [winner] = winners
      assert.isFalse(yield* isLive(winner?.access_token ?? ""))
      assert.strictEqual((yield* spend(winner?.refresh_token ?? "")).error, "invalid_grant")
      // The first replay revokes; the three after it meet a revoked grant.
      assert.deepStrictEqual(yield* counts, { requests: 6, granted: 1, reused: 0, replays: 1, revokedGrants: 1 })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("may only refuse the replay and leave the grant alone", () =>
    Effect.gen(function* () {
      const { connect } = yield* provider
      const { refreshToken } = yield* connect
      const next = yield* spend(refreshToken)
      assert.strictEqual((yield* spend(refreshToken)).status, 400)
      assert.strictEqual((yield* spend(newToken(next))).status, 200)
    }).pipe(Effect.provide(layer({ onReplay: "refuse" })))
  )

  it.effect("honours a spent token inside its reuse window, with the same successor, and no longer", () =>
    Effect.gen(function* () {
      const { connect, counts } = yield* provider
      const { refreshToken } = yield* connect
      const first = yield* spend(refreshToken)
      yield* TestClock.adjust("10 minutes")
      const again = yield* spend(refreshToken)
      assert.strictEqual(again.status, 200)
      assert.strictEqual(again.refresh_token, first.refresh_token)
      assert.notStrictEqual(again.access_token, first.access_token)
      yield* TestClock.adjust("1 milli")
      assert.strictEqual((yield* spend(refreshToken)).error, "invalid_grant")
      assert.deepInclude(yield* counts, { granted: 1, reused: 1, replays: 1, revokedGrants: 1 })
    }).pipe(Effect.provide(layer({ reuseWindow: "10 minutes" })))
  )

  it.effect("may kill the old access token at once", () =>
    Effect.gen(function* () {
      const { connect, isLive } = yield* provider
      const { accessToken, refreshToken } = yield* connect
      yield* spend(refreshToken)
      assert.isFalse(yield* isLive(accessToken))
    }).pipe(Effect.provide(layer({ onRenewal: "old-access-token-dies" })))
  )
})

describe("the other rotation classes", () => {
  it.effect("none: the answer has no refresh token, and the old one goes on", () =>
    Effect.gen(function* () {
      const { refreshToken } = yield* (yield* provider).connect
      for (let use = 0; use < 3; use++) {
        const answer = yield* spend(refreshToken)
        assert.strictEqual(answer.status, 200)
        assert.notProperty(answer, "refresh_token")
      }
    }).pipe(Effect.provide(layer({ rotation: "none" })))
  )

  it.effect("rolling: each use gives a new one, and the old one goes on too", () =>
    Effect.gen(function* () {
      const { connect, counts } = yield* provider
      const { refreshToken } = yield* connect
      const one = yield* spend(refreshToken)
      const two = yield* spend(refreshToken)
      assert.notStrictEqual(one.refresh_token, two.refresh_token)
      assert.strictEqual((yield* spend(newToken(one))).status, 200)
      assert.deepInclude(yield* counts, { granted: 3, replays: 0 })
    }).pipe(Effect.provide(layer({ rotation: "rolling" })))
  )

  it.effect("a refresh token dies of idleness, and a use keeps it alive", () =>
    Effect.gen(function* () {
      const { refreshToken } = yield* (yield* provider).connect
      for (let use = 0; use < 3; use++) {
        yield* TestClock.adjust("30 days")
        assert.strictEqual((yield* spend(refreshToken)).status, 200)
      }
      yield* TestClock.adjust("31 days")
      assert.strictEqual((yield* spend(refreshToken)).error, "invalid_grant")
    }).pipe(Effect.provide(layer({ rotation: "none", refreshTokenIdle: "30 days" })))
  )

  it.effect("a grant dies of age, however much it is used", () =>
    Effect.gen(function* () {
      let { refreshToken } = yield* (yield* provider).connect
      for (let use = 0; use < 6; use++) {
        yield* TestClock.adjust("60 days")
        refreshToken = newToken(yield* spend(refreshToken))
      }
      yield* TestClock.adjust("6 days")
      assert.strictEqual((yield* spend(refreshToken)).error, "invalid_grant")
    }).pipe(Effect.provide(layer({ refreshTokenLife: "365 days" })))
  )
})

describe("faults", () => {
  const setup = (...faults: ReadonlyArray<ScriptedProvider.Fault>) =>
    Effect.gen(function* () {
      const { connect, next } = yield* provider
      yield* next(...faults)
      return (yield* connect).refreshToken
    })
  const granted = Effect.flatMap(provider, ({ counts }) => Effect.map(counts, ({ granted }) => granted))
  const codeOf = <A, E, R>(call: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.exit(call), (exit) => (Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""))

  it.effect("a refused connection never arrives", () =>
    Effect.gen(function* () {
      const token = yield* setup({ _tag: "ConnectionRefused" })
      assert.include(yield* codeOf(renew(token)), "ECONNREFUSED")
      assert.deepInclude(yield* (yield* provider).counts, { requests: 0, granted: 0 })
      assert.strictEqual((yield* spend(token)).status, 200)
    }).pipe(Effect.provide(layer()))
  )

  it.effect.each([true, false])("a reset connection says nothing about the work (done: %s)", (applied) =>
    Effect.gen(function* () {
      const token = yield* setup({ _tag: "ConnectionReset", applied })
      assert.include(yield* codeOf(renew(token)), "ECONNRESET")
      assert.strictEqual(yield* granted, applied ? 1 : 0)
      assert.strictEqual((yield* spend(token)).status, applied ? 400 : 200)
    }).pipe(Effect.provide(layer()))
  )

  it.effect.each([true, false])("no answer leaves it to the client's timeout (done: %s)", (applied) =>
    Effect.gen(function* () {
      const token = yield* setup({ _tag: "NoAnswer", applied })
      const fiber = yield* Effect.forkChild(Effect.timeoutOption(renew(token), "10 seconds"))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
      assert.strictEqual(yield* granted, applied ? 1 : 0)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a late answer comes after its delay, for work done at once", () =>
    Effect.gen(function* () {
      const token = yield* setup({ _tag: "LateAnswer", delay: "8 seconds" })
      const fiber = yield* Effect.forkChild(renew(token), { startImmediately: true })
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(yield* granted, 1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a truncated answer is a 200 that does not parse, for work that was done", () =>
    Effect.gen(function* () {
      const response = yield* renew(yield* setup({ _tag: "TruncatedAnswer" }))
      assert.strictEqual(response.status, 200)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(read(response))))
      assert.strictEqual(yield* granted, 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("another answer stands in for the provider's", () =>
    Effect.gen(function* () {
      const token = yield* setup(ScriptedProvider.unavailable("120"), {
        _tag: "OtherAnswer",
        applied: true,
        status: 502,
        headers: { "content-type": "text/html" },
        body: "<h1>Bad Gateway</h1>"
      })
      const busy = yield* renew(token)
      assert.deepStrictEqual([busy.status, busy.headers["retry-after"]], [503, "120"])
      assert.strictEqual(yield* granted, 0)
      const gateway = yield* renew(token)
      assert.deepStrictEqual([gateway.status, yield* gateway.text], [502, "<h1>Bad Gateway</h1>"])
      assert.strictEqual(yield* granted, 1)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("an amended answer carries working tokens in an odd form", () =>
    Effect.gen(function* () {
      const response = yield* renew(
        yield* setup({ _tag: "AmendedAnswer", status: 201, set: { expires_in: null }, drop: ["token_type"] })
      )
      assert.strictEqual(response.status, 201)
      const body = JSON.parse(yield* response.text)
      assert.strictEqual(body.expires_in, null)
      assert.notProperty(body, "token_type")
      assert.isTrue(yield* (yield* provider).isLive(body.access_token))
    }).pipe(Effect.provide(layer()))
  )

  it.effect("unchanged tokens are the ones the grant has, with what is left of their life, and nothing spent", () =>
    Effect.gen(function* () {
      const { connect, next } = yield* provider
      const { accessToken, refreshToken } = yield* connect
      yield* TestClock.adjust("10 minutes")
      yield* next({ _tag: "UnchangedTokens" })
      const answer = yield* spend(refreshToken)
      assert.deepInclude(answer, { access_token: accessToken, refresh_token: refreshToken, expires_in: 3000 })
      yield* TestClock.adjust("1 hour")
      yield* next({ _tag: "UnchangedTokens" })
      assert.deepInclude(yield* spend(refreshToken), { access_token: accessToken, expires_in: 0 })
      assert.strictEqual(yield* granted, 0)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("an outage meets every request until it ends; faults for single requests come first", () =>
    Effect.gen(function* () {
      const { outage } = yield* provider
      const token = yield* setup({ _tag: "OtherAnswer", applied: false, status: 500 })
      yield* outage(ScriptedProvider.unavailable(), "1 hour")
      assert.strictEqual((yield* renew(token)).status, 500)
      assert.strictEqual((yield* renew(token)).status, 503)
      yield* TestClock.adjust("59 minutes")
      assert.strictEqual((yield* renew(token)).status, 503)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* renew(token)).status, 200)
    }).pipe(Effect.provide(layer()))
  )
})

describe("dialects", () => {
  const replayed = (dialect: ProviderDialect.Dialect) =>
    Effect.gen(function* () {
      const { refreshToken } = yield* (yield* provider).connect
      assert.isTrue((yield* read(yield* renew(refreshToken))).access_token !== undefined)
      const response = yield* renew(refreshToken)
      return [response.status, yield* response.text] as const
    }).pipe(Effect.provide(layer({ dialect })))

  it.effect("GitHub refuses with a 200 and an error", () =>
    Effect.map(replayed(ProviderDialect.github), ([status, body]) => {
      assert.deepStrictEqual([status, JSON.parse(body).error], [200, "bad_refresh_token"])
    })
  )
  it.effect("Slack refuses with ok: false", () =>
    Effect.map(replayed(ProviderDialect.slack), ([status, body]) => {
      assert.deepStrictEqual([status, JSON.parse(body)], [200, { ok: false, error: "invalid_refresh_token" }])
    })
  )
  it.effect("HubSpot refuses with a status of its own", () =>
    Effect.map(replayed(ProviderDialect.hubspot), ([status, body]) => {
      assert.deepStrictEqual([status, JSON.parse(body)], [400, { status: "BAD_REFRESH_TOKEN", message: "replayed" }])
    })
  )
  it.effect("Box answers a replay with an empty 409", () =>
    Effect.map(replayed(ProviderDialect.box), (answer) => assert.deepStrictEqual(answer, [409, ""]))
  )

  it.effect("answers may be form encoded unless JSON is asked for", () =>
    Effect.gen(function* () {
      const { refreshToken } = yield* (yield* provider).connect
      const fields = { grant_type: "refresh_token", refresh_token: refreshToken }
      const form = yield* post(fields)
      assert.strictEqual(form.headers["content-type"], "application/x-www-form-urlencoded")
      assert.match(new URLSearchParams(yield* form.text).get("access_token") ?? "", /^at_/)
      const json = yield* post(fields, { accept: "application/json" })
      assert.match((yield* read(json)).access_token ?? "", /^at_/)
    }).pipe(Effect.provide(layer({ rotation: "none", encoding: "form-unless-json-is-accepted" })))
  )
})

describe("requests", () => {
  it.effect("authenticate the client by Basic header or body, and a stranger spends nothing", () =>
    Effect.gen(function* () {
      const { connect, counts, tokenUrl } = yield* provider
      const fields = { grant_type: "refresh_token", refresh_token: (yield* connect).refreshToken }
      const stranger = yield* read(yield* post({ ...fields, client_id: "app", client_secret: "wrong" }))
      assert.deepInclude(stranger, { status: 401, error: "invalid_client" })
      assert.strictEqual((yield* post(fields)).status, 401)
      assert.deepInclude(yield* counts, { requests: 2, granted: 0 })
      const basic = HttpClientRequest.post(tokenUrl).pipe(
        HttpClientRequest.basicAuth("app", encodeURIComponent("s:cret&1")),
        HttpClientRequest.bodyUrlParams(fields),
        HttpClient.execute
      )
      assert.strictEqual((yield* basic).status, 200)
      assert.strictEqual((yield* post({ ...fields, client_id: "app", client_secret: "s:cret&1" })).status, 200)
    }).pipe(Effect.provide(layer({ rotation: "none", clients: { app: "s:cret&1" } })))
  )

  it.effect("may be JSON", () =>
    Effect.gen(function* () {
      const { connect, tokenUrl } = yield* provider
      const body = HttpBody.jsonUnsafe({ grant_type: "refresh_token", refresh_token: (yield* connect).refreshToken })
      assert.strictEqual((yield* HttpClient.post(tokenUrl, { body })).status, 200)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("exchange a code once, take client credentials, and are told when they make no sense", () =>
    Effect.gen(function* () {
      const { authorize } = yield* provider
      const code = { grant_type: "authorization_code", code: yield* authorize }
      const exchanged = yield* read(yield* post(code))
      assert.strictEqual((yield* spend(newToken(exchanged))).status, 200)
      assert.strictEqual((yield* read(yield* post(code))).error, "invalid_grant")
      const service = yield* read(yield* post({ grant_type: "client_credentials" }))
      assert.strictEqual(service.status, 200)
      assert.notProperty(service, "refresh_token")
      assert.strictEqual((yield* read(yield* post({ grant_type: "password" }))).error, "unsupported_grant_type")
      assert.strictEqual((yield* read(yield* post({}))).error, "invalid_request")
    }).pipe(Effect.provide(layer()))
  )

  it.effect("with an access token reach userinfo while it lives", () =>
    Effect.gen(function* () {
      const { connect, revoke, userinfoUrl } = yield* provider
      const { accessToken } = yield* connect
      const ask = HttpClient.get(userinfoUrl, { headers: { authorization: `Bearer ${accessToken}` } })
      assert.strictEqual((yield* ask).status, 200)
      yield* revoke(accessToken)
      yield* revoke(accessToken)
      assert.strictEqual((yield* ask).status, 401)
      assert.deepInclude(yield* (yield* provider).counts, { requests: 0, revokedGrants: 1 })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("to any other address are refused, and several providers share a client", () =>
    Effect.gen(function* () {
      const one = yield* ScriptedProvider.make({ tokenUrl: "https://one.test/oauth/token" })
      const two = yield* ScriptedProvider.make({ tokenUrl: "https://two.test:443?tenant=2", rotation: "none" })
      const client = ScriptedProvider.httpClient([one, two])
      const { refreshToken } = yield* two.connect
      const body = HttpBody.urlParams({ grant_type: "refresh_token", refresh_token: refreshToken })
      assert.strictEqual((yield* client.post(one.tokenUrl, { body })).status, 400)
      assert.strictEqual((yield* client.post(two.tokenUrl, { body })).status, 200)
      assert.strictEqual(one.userinfoUrl, "https://one.test/oauth/userinfo")
      const error = yield* Effect.flip(client.get("https://three.test/"))
      assert.strictEqual(error.reason._tag, "TransportError")
    })
  )
})

describe("a scripted provider", () => {
  it.effect("is deterministic: the same seed gives the same tokens, another seed others", () =>
    Effect.gen(function* () {
      const tokens = (seed: string) =>
        Effect.flatMap(ScriptedProvider.make({ seed }), ({ connect }) =>
          Effect.map(connect, (issued) => issued.refreshToken)
        )
      assert.strictEqual(yield* tokens("a"), yield* tokens("a"))
      assert.notStrictEqual(yield* tokens("a"), yield* tokens("b"))
    })
  )

  it.effect("lists every token it made as a secret", () =>
    Effect.gen(function* () {
      const { authorize, connect, secrets } = yield* provider
      const { accessToken, refreshToken } = yield* connect
      const answer = yield* spend(refreshToken)
      const code = yield* authorize
      assert.sameMembers(
        [...(yield* secrets)],
        [accessToken, refreshToken, answer.access_token, newToken(answer), code]
      )
    }).pipe(Effect.provide(layer()))
  )

  it.effect("serves thousands of accounts", () =>
    Effect.gen(function* () {
      const { connect, counts } = yield* provider
      const grants = yield* Effect.replicateEffect(connect, 5000)
      yield* Effect.forEach(grants, ({ refreshToken }) => renew(refreshToken), { concurrency: 100, discard: true })
      assert.deepStrictEqual(yield* counts, { requests: 5000, granted: 5000, reused: 0, replays: 0, revokedGrants: 0 })
    }).pipe(Effect.provide(layer()))
  )
})
