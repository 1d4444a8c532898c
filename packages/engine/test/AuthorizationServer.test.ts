import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { AuthorizationServer, callbackUrl, clientId, clientSecret } from "./support/AuthorizationServer.ts"

const request = (parameters: Record<string, string>) =>
  Effect.gen(function* () {
    const server = yield* AuthorizationServer
    return yield* Effect.promise(async () => {
      const encode = (value: string) => new URLSearchParams([["", value]]).toString().slice(1)
      const response = await fetch(server.endpoints.token, {
        method: "POST",
        headers: { authorization: `Basic ${btoa(`${encode(clientId)}:${encode(clientSecret)}`)}` },
        body: new URLSearchParams(parameters)
      })
      return { status: response.status, body: (await response.json()) as Record<string, string> }
    })
  })

const refresh = (refreshToken: string) => request({ grant_type: "refresh_token", refresh_token: refreshToken })

layer(AuthorizationServer.layer(), { excludeTestServices: true })("the authorization server of the tests", (it) => {
  it.effect("renews a minted refresh token once, and kills the grant and the winner's tokens on a replay", () =>
    Effect.gen(function* () {
      const server = yield* AuthorizationServer
      const before = server.tally()
      const { grantId, refreshToken } = yield* server.mintRefreshToken("alice")
      const first = yield* refresh(refreshToken)
      assert.strictEqual(first.status, 200)
      const { access_token: accessToken = "", refresh_token: successor = "" } = first.body
      assert.isTrue(yield* server.isAccessTokenAlive(accessToken))
      assert.isTrue(yield* server.isRefreshTokenAlive(successor))
      assert.isFalse(yield* server.isRefreshTokenAlive(refreshToken))

      const second = yield* refresh(refreshToken)
      assert.deepStrictEqual([second.status, second.body["error"]], [400, "invalid_grant"])
      assert.isFalse(yield* server.isAccessTokenAlive(accessToken))
      assert.isFalse(yield* server.isRefreshTokenAlive(successor))
      const after = server.tally()
      assert.strictEqual(after.spent - before.spent, 1)
      assert.strictEqual(after.replays - before.replays, 1)
      assert.deepStrictEqual(after.revoked, [grantId])
    })
  )

  it.effect("lets one of five concurrent refreshes win", () =>
    Effect.gen(function* () {
      const server = yield* AuthorizationServer
      const { refreshToken } = yield* server.mintRefreshToken("bob")
      const answers = yield* Effect.all(
        Array.from({ length: 5 }, () => refresh(refreshToken)),
        { concurrency: 5 }
      )
      assert.deepStrictEqual(answers.map(({ status }) => status).toSorted(), [200, 400, 400, 400, 400])
    })
  )

  it.effect("plays the person who consents, and the one who does not", () =>
    Effect.gen(function* () {
      const server = yield* AuthorizationServer
      const url = new URL(server.endpoints.authorization)
      const verifier = "v".repeat(43)
      const digest = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)))
      url.search = new URLSearchParams({
        client_id: clientId,
        response_type: "code",
        redirect_uri: callbackUrl,
        scope: "openid",
        state: "s1",
        code_challenge: Buffer.from(digest).toString("base64url"),
        code_challenge_method: "S256"
      }).toString()
      const denied = yield* server.deny(url.href)
      assert.strictEqual(denied.searchParams.get("error"), "access_denied")
      const agreed = yield* server.consent(url.href, "carol")
      assert.strictEqual(agreed.origin + agreed.pathname, callbackUrl)
      assert.strictEqual(agreed.searchParams.get("state"), "s1")
      const { body, status } = yield* request({
        grant_type: "authorization_code",
        code: agreed.searchParams.get("code") ?? "",
        redirect_uri: callbackUrl,
        code_verifier: verifier
      })
      assert.strictEqual(status, 200)
      assert.isTrue(yield* server.isRefreshTokenAlive(body["refresh_token"] ?? ""))
      yield* server.revokeGrant("all")
      assert.isFalse(yield* server.isRefreshTokenAlive(body["refresh_token"] ?? ""))
    })
  )

  it.effect("spends the token when the answer is lost, and does not when the request is", () =>
    Effect.gen(function* () {
      const server = yield* AuthorizationServer
      const { refreshToken } = yield* server.mintRefreshToken("dave")
      yield* server.disturb({ _tag: "LoseRequest" }, 1)
      yield* server.disturb({ _tag: "Answer", status: 503, body: "{}" }, 1)
      yield* server.disturb({ _tag: "LoseAnswer" }, 1)
      assert.strictEqual((yield* Effect.exit(refresh(refreshToken)))._tag, "Failure")
      assert.strictEqual((yield* refresh(refreshToken)).status, 503)
      assert.isTrue(yield* server.isRefreshTokenAlive(refreshToken))
      assert.strictEqual((yield* Effect.exit(refresh(refreshToken)))._tag, "Failure")
      assert.isFalse(yield* server.isRefreshTokenAlive(refreshToken))
    })
  )
})

describe("without rotation", () => {
  layer(AuthorizationServer.layer({ rotateRefreshToken: false }), { excludeTestServices: true })((it) => {
    it.effect("a refresh token can be used again", () =>
      Effect.gen(function* () {
        const server = yield* AuthorizationServer
        const { refreshToken } = yield* server.mintRefreshToken("alice")
        assert.strictEqual((yield* refresh(refreshToken)).status, 200)
        assert.strictEqual((yield* refresh(refreshToken)).status, 200)
        assert.strictEqual(server.tally().spent, 2)
      })
    )
  })
})
