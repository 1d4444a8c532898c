/** The meaning of a revocation endpoint's answer (RFC 7009), and the tokens that OAUTH2 sends there. */
import { assert, describe, it } from "@effect/vitest"
import { decideRevocation, type Revocation } from "#engine/answer/Revocation.ts"
import * as OAuth2 from "@rekindle/engine/OAuth2"
import { Effect } from "effect"
import { config, connect, egress } from "../support/connection.ts"
import * as HttpFixture from "../support/HttpFixture.ts"

const confirmed: Revocation = { _tag: "Confirmed" }
const unsupported: Revocation = { _tag: "Unsupported" }
const unconfirmed = (code: string): Revocation => ({ _tag: "Unconfirmed", code })

describe("the answer of a revocation endpoint", () => {
  it.each([
    [200, "", confirmed],
    [204, "", confirmed],
    [200, "{}", confirmed],
    [200, JSON.stringify({ ok: false, error: "invalid_auth" }), unconfirmed("invalid_auth")],
    [400, JSON.stringify({ error: "invalid_token" }), confirmed],
    [400, JSON.stringify({ error: "unsupported_token_type" }), unsupported],
    [400, JSON.stringify({ error: "invalid_request" }), unconfirmed("invalid_request")],
    [401, JSON.stringify({ error: "invalid_client" }), unconfirmed("invalid_client")],
    [404, "<html>", unconfirmed("http_404")],
    [429, "", unconfirmed("http_429")],
    [500, JSON.stringify({ error: "invalid_token" }), unconfirmed("invalid_token")],
    [503, "", unconfirmed("http_503")]
  ] as const)("%i %s", (status, body, expected) => {
    const answer = { _tag: "Answer", status, body, contentType: "application/json", retryAfter: undefined } as const
    assert.deepStrictEqual(decideRevocation({ ...answer, receivedAt: 0 }), expected)
  })

  it("confirms nothing if it is missing", () => {
    assert.deepStrictEqual(decideRevocation({ _tag: "NoAnswer", reason: "timeout" }), unconfirmed("timeout"))
  })
})

const both = { refresh_token: "rt", access_token: "at" }

/** Revokes at a server with these answers, by token. */
const revoked = Effect.fnUntraced(function* (answers: Readonly<Record<string, readonly [number, object?]>>) {
  const server = yield* HttpFixture.make(({ body }, response) => {
    const [status, said] = answers[new URLSearchParams(body).get("token") ?? ""] ?? [500]
    HttpFixture.json(said ?? {}, status)({ method: "", path: "", headers: {}, body }, response)
  })
  const strategy = yield* OAuth2.make
  const settings = {
    clientId: "client",
    tokenEndpoint: `${server.origin}/token`,
    revocationEndpoint: `${server.origin}/revoke`
  }
  const registered = config({ scheme: "OAUTH2", settings, hosts: [server.host], secrets: { client_secret: "s" } })
  const outcome = yield* strategy.revoke?.(connect(registered, both)) ?? assert.fail("no revocation")
  return { outcome, tokens: server.requests.map(({ body }) => new URLSearchParams(body).get("token")) }
})

describe("an OAUTH2 credential", () => {
  it.live("is withdrawn with both of its tokens", () =>
    Effect.gen(function* () {
      const seen = yield* revoked({ rt: [200], at: [200] })
      assert.deepStrictEqual(seen, { outcome: confirmed, tokens: ["rt", "at"] })
    }).pipe(Effect.scoped, Effect.provide(egress))
  )

  it.live("is not withdrawn while the provider answers 503 for one of them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* revoked({ rt: [503], at: [200] })).outcome, unconfirmed("http_503"))
      assert.deepStrictEqual((yield* revoked({ rt: [200], at: [503] })).outcome, unconfirmed("http_503"))
    }).pipe(Effect.scoped, Effect.provide(egress))
  )

  it.live("is withdrawn if the provider accepts tokens of one type only", () =>
    Effect.gen(function* () {
      const one = [400, { error: "unsupported_token_type" }] as const
      assert.deepStrictEqual((yield* revoked({ rt: [200], at: one })).outcome, confirmed)
      assert.deepStrictEqual((yield* revoked({ rt: one, at: [200] })).outcome, confirmed)
      assert.deepStrictEqual((yield* revoked({ rt: one, at: one })).outcome, unsupported)
    }).pipe(Effect.scoped, Effect.provide(egress))
  )

  it.live(
    "cannot be withdrawn where the provider names no address, and is not done where its metadata are out of reach",
    () =>
      Effect.gen(function* () {
        const strategy = yield* OAuth2.make
        const server = yield* HttpFixture.make((_, response) => void response.writeHead(503).end())
        const revoke = (settings: { readonly issuer?: string }) => {
          const all = { clientId: "client", tokenEndpoint: `${server.origin}/token`, ...settings }
          const registered = config({ scheme: "OAUTH2", settings: all, hosts: [server.host] })
          return strategy.revoke?.(connect(registered, both)) ?? assert.fail("no revocation")
        }
        assert.deepStrictEqual(yield* revoke({}), unsupported)
        assert.deepStrictEqual(yield* revoke({ issuer: server.origin }), unconfirmed("metadata_unavailable"))
      }).pipe(Effect.scoped, Effect.provide(egress))
  )
})
