/** What the server does with the answer of `ApiKeys`: scopes, throttles, keys that cannot be read. */
import {
  AccountNotFound,
  ConnectedAccountId,
  Forbidden,
  RateLimited,
  Ready,
  Unauthorized,
  Unavailable
} from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { ApiAudit, type ApiCall, type ApiKeyScope, ApiKeys, RekindleServer } from "@rekindle/platform"
import { Duration, Effect, Layer, Redacted } from "effect"
import { apiKey, call, id, serve } from "./support.ts"

const path = `/api/v3/connected_accounts/${id}`
const key = Redacted.make(apiKey)

const withKeys = (keys: Layer.Layer<ApiKeys>) => serve({}, Layer.empty, RekindleServer.routes, keys)

const withScopes = (...scopes: ReadonlyArray<ApiKeyScope>) =>
  withKeys(ApiKeys.layerStatic([key], { projectId: "project_1", scopes }))

const withCheck = (check: ApiKeys["Service"]["check"]) => withKeys(Layer.succeed(ApiKeys, { check }))

const slugOf = (text: string): unknown => JSON.parse(text).error.slug

describe("a key with scopes", () => {
  it.live.each<readonly [ReadonlyArray<ApiKeyScope>, refresh: number, get: number]>([
    [["refresh"], 200, 403],
    [["read"], 403, 200],
    [["admin", "credential"], 403, 403],
    [[], 403, 403]
  ])("%j may do what they say and nothing else", ([scopes, refresh, get]) =>
    Effect.gen(function* () {
      const url = yield* withScopes(...scopes)
      const refreshed = yield* call(`${url}${path}/refresh`, { method: "POST" })
      const read = yield* call(url + path)
      assert.deepStrictEqual([refreshed.status, read.status], [refresh, get])
      for (const { status, text } of [refreshed, read]) {
        if (status === 403) assert.strictEqual(slugOf(text), "missing_scope")
      }
    }).pipe(Effect.scoped)
  )

  it.live("may do everything if it has no list", () =>
    Effect.gen(function* () {
      const url = yield* withKeys(ApiKeys.layerStatic([key]))
      assert.strictEqual((yield* call(`${url}${path}/refresh`, { method: "POST" })).status, 200)
      assert.strictEqual((yield* call(url + path)).status, 200)
    }).pipe(Effect.scoped)
  )

  it.live("learns that it lacks a scope before its request is read", () =>
    Effect.gen(function* () {
      const url = yield* withScopes("read")
      const refused = yield* call(`${url}${path}/refresh`, {
        method: "POST",
        body: "{",
        headers: { "content-type": "application/json" }
      })
      assert.strictEqual(refused.status, 403)
    }).pipe(Effect.scoped)
  )
})

describe("a refusal of the key check", () => {
  it.live.each([
    [new RateLimited({ message: "slower", slug: "too_many_requests", retryAfter: Duration.millis(1_200) }), 429, "2"],
    [new Unavailable({ message: "later", slug: "store_unavailable", retryAfter: Duration.seconds(5) }), 503, "5"],
    [new Unauthorized({ message: "no", slug: "unknown_api_key" }), 401, null],
    [new Forbidden({ message: "no", slug: "missing_scope" }), 403, null]
  ] as const)("is answered as what it is: %s", ([error, status, retryAfter]) =>
    Effect.gen(function* () {
      const url = yield* withCheck(() => Effect.fail(error))
      const answer = yield* call(url + path)
      assert.deepStrictEqual(
        [answer.status, slugOf(answer.text), answer.headers.get("retry-after")],
        [status, error.slug, retryAfter]
      )
    }).pipe(Effect.scoped)
  )
})

it.live("the key check is told the address of the connection, and no header changes it", () =>
  Effect.gen(function* () {
    const seen: Array<string | undefined> = []
    const url = yield* withCheck((_, caller) =>
      Effect.sync(() => {
        seen.push(caller?.address)
        return { projectId: "project_1" }
      })
    )
    yield* call(url + path, {
      headers: { "x-forwarded-for": "192.0.2.1", "x-real-ip": "192.0.2.2", forwarded: "for=192.0.2.3" }
    })
    assert.deepStrictEqual(seen, ["127.0.0.1"])
  }).pipe(Effect.scoped)
)

describe("the audit of requests", () => {
  const withAudit = (
    audit: (call: ApiCall) => Effect.Effect<Effect.Effect<void>, Unavailable>,
    refreshed: { count: number }
  ) =>
    serve(
      {
        refresh: (id) =>
          Effect.suspend(() => {
            refreshed.count++
            return id === unlucky
              ? Effect.fail(new AccountNotFound({ message: "gone", slug: "connected_account_not_found" }))
              : Effect.succeed(Ready.make({ id }))
          })
      },
      Layer.empty,
      RekindleServer.routes,
      Layer.merge(
        ApiKeys.layerStatic([key], { projectId: "project_1", keyId: "key_1" }),
        Layer.succeed(ApiAudit, audit)
      )
    )
  const unlucky = ConnectedAccountId.make("con_000000000000")

  it.live("is told who does what before it is done, without the query, and of a failure", () =>
    Effect.gen(function* () {
      const told: Array<ApiCall | string> = []
      const refreshed = { count: 0 }
      const url = yield* withAudit(
        (call) =>
          Effect.sync(() => {
            assert.strictEqual(refreshed.count, told.length)
            told.push(call)
            return Effect.sync(() => void told.push("failed"))
          }),
        refreshed
      )
      yield* call(`${url}${path}/refresh?redirect_url=https://app.test/secret`, { method: "POST" })
      const refused = `/api/v3/connected_accounts/${unlucky}/refresh`
      assert.strictEqual((yield* call(url + refused, { method: "POST" })).status, 404)
      const route = "/api/v3/connected_accounts/:nanoid/refresh"
      const common = {
        principal: { projectId: "project_1", keyId: "key_1" },
        scope: "refresh",
        method: "POST",
        route,
        address: "127.0.0.1"
      } as const
      assert.deepStrictEqual(told, [{ ...common, path: `${path}/refresh` }, { ...common, path: refused }, "failed"])
    }).pipe(Effect.scoped)
  )

  it.live("stops what it cannot record", () =>
    Effect.gen(function* () {
      const refreshed = { count: 0 }
      const url = yield* withAudit(
        () => Effect.fail(new Unavailable({ message: "later", slug: "store_unavailable" })),
        refreshed
      )
      assert.strictEqual((yield* call(`${url}${path}/refresh`, { method: "POST" })).status, 503)
      assert.strictEqual(refreshed.count, 0)
    }).pipe(Effect.scoped)
  )
})
