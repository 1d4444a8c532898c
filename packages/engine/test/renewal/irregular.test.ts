/** Answers with tokens that a strict client would discard, and answers without new tokens. */
import { assert, describe, it } from "@effect/vitest"
import type { ScriptedProvider as Scripted } from "@rekindle/testing"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect } from "effect"
import { connected, elapse, refresh, refused, scenario, secretsOf, stored, Wire } from "../support/ScriptedEngine.ts"

const amended = (set: Extract<Scripted.Fault, { readonly _tag: "AmendedAnswer" }>["set"]): Scripted.Fault => ({
  _tag: "AmendedAnswer",
  ...(set === undefined ? {} : { set })
})

/**
 * Answers that make oauth4webapi throw although tokens were issued. The grant is spent, so discarding the tokens would lose the connection.
 */
const irregular: ReadonlyArray<readonly [string, Scripted.Fault]> = [
  ["status 201", { _tag: "AmendedAnswer", status: 201 }],
  ["no token_type", { _tag: "AmendedAnswer", drop: ["token_type"] }],
  ["an unknown token_type", amended({ token_type: "mac" })],
  ["expires_in: null", amended({ expires_in: null })],
  ["expires_in as text", amended({ expires_in: "3600" })],
  ["expires_in below zero", amended({ expires_in: -1 })],
  ["no expires_in", { _tag: "AmendedAnswer", drop: ["expires_in"] }],
  ["an array of scopes", amended({ scope: ["read", "write"] })],
  ["a bad id_token", amended({ id_token: "not a JWT" })],
  ["an error beside the tokens", amended({ error: "invalid_grant" })],
  ["ok:false beside the tokens", amended({ ok: false })]
]

describe("tokens in an answer that breaks the rules", () => {
  for (const [name, fault] of irregular) {
    it.effect(`are kept and used next time: ${name}`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { accessToken, id, refreshToken } = yield* connected()
        yield* provider.next(fault)
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        const issued = yield* secretsOf(id)
        assert.notStrictEqual(issued["access_token"], accessToken)
        assert.notStrictEqual(issued["refresh_token"], refreshToken)
        assert.isTrue(yield* provider.isLive(issued["access_token"] ?? ""))
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.deepStrictEqual((yield* Wire).sent, [refreshToken, issued["refresh_token"]])
        assert.deepInclude(yield* provider.counts, { granted: 2, revokedGrants: 0 })
      }).pipe(scenario())
    )
  }

  for (const refresh_token of [null, ""]) {
    it.effect(`are kept where refresh_token is ${JSON.stringify(refresh_token)}: the old one stays in use`, () =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { accessToken, id, refreshToken } = yield* connected({ profile: { rotation: "none" } })
        yield* provider.next(amended({ refresh_token }))
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.notStrictEqual((yield* secretsOf(id))["access_token"], accessToken)
        assert.strictEqual((yield* refresh(id))._tag, "Ready")
        assert.deepStrictEqual((yield* Wire).sent, [refreshToken, refreshToken])
      }).pipe(scenario({ provider: { rotation: "none" } }))
    )
  }
})

describe("a 200 that renewed nothing", () => {
  const same = (accessToken: string, expiresIn: number): Scripted.Fault => ({
    _tag: "AmendedAnswer",
    set: { access_token: accessToken, expires_in: expiresIn }
  })

  it.effect("serves the access token while it lasts, and is no new generation", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { accessToken, expiresAt, id } = yield* connected({ profile: { rotation: "none" } })
      yield* provider.next(same(accessToken, 3600))
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      const account = yield* stored(id)
      assert.deepInclude(account, { generation: 1, status: "ACTIVE", expiresAt, intent: null, lease: null })
      assert.strictEqual(account.lastAttempt?.verdict, "NotRenewed")
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )

  it.effect("is a failure once the access token is over: an expired one is never returned as success", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { accessToken, id } = yield* connected({ expired: true, profile: { rotation: "none" } })
      yield* provider.next(same(accessToken, 0))
      const error = yield* refused(id)
      assert.strictEqual(error._tag, "RefreshFailed")
      assert.strictEqual("slug" in error && error.slug, "not_renewed")
      assert.strictEqual((yield* stored(id)).status, "ACTIVE")
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )

  it.effect("is a renewal after all where the same access token got a longer life", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { accessToken, expiresAt, id } = yield* connected({ profile: { rotation: "none" } })
      yield* elapse("30 minutes", "10 minutes")
      yield* provider.next(same(accessToken, 3600))
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      const account = yield* stored(id)
      assert.strictEqual(account.generation, 2)
      assert.isAbove(account.expiresAt ?? 0, expiresAt)
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )
})
