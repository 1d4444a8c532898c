import { assert, describe, it } from "@effect/vitest"
import * as Core from "@rekindle/core"
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer } from "effect"
import { HttpServerResponse } from "effect/http"
import { call, callRaw, id, serve } from "./support.ts"

const result: Core.ConsentResult = {
  accountId: id,
  failure: undefined,
  status: "ACTIVE",
  redirectUrl: undefined
}

const denied = { reason: "denied", message: "the person refused", code: "access_denied" } as const

/** A server whose consents end as told, and what they were completed from. */
const consenting = (outcome: Effect.Effect<Core.ConsentResult, Core.ConsentCallbackError>) =>
  Effect.gen(function* () {
    const queries: Array<string> = []
    const complete = (query: URLSearchParams) =>
      Effect.andThen(
        Effect.sync(() => queries.push(String(query))),
        outcome
      )
    const url = yield* serve(
      {},
      ConsentCallback.routes.pipe(Layer.provide(Layer.succeed(Core.ConsentCallback, { complete })))
    )
    return { queries, url: url + ConsentCallback.path }
  })

const browser = { headers: { accept: "text/html,*/*", "x-api-key": "" } }

describe("the consent callback", () => {
  it.live("passes on the session value of the browser, if the application reads one", () =>
    Effect.gen(function* () {
      const sessions: Array<string | undefined> = []
      const complete = (_: URLSearchParams, session: string | undefined) =>
        Effect.sync(() => {
          sessions.push(session)
          return result
        })
      const routes = ConsentCallback.routes.pipe(Layer.provide(Layer.succeed(Core.ConsentCallback, { complete })))
      const cookie = Layer.succeed(ConsentCallback.ConsentSession, ({ cookies }) => cookies["consent"])
      const headers = { ...browser.headers, cookie: "consent=abc" }
      for (const layer of [routes, Layer.provide(routes, cookie)])
        yield* call(`${yield* serve({}, layer)}${ConsentCallback.path}?code=c&state=s`, { headers })
      assert.deepStrictEqual(sessions, [undefined, "abc"])
    }).pipe(Effect.scoped)
  )

  it.live("shows the application's own landing page, with the headers that keep the code to itself", () =>
    Effect.gen(function* () {
      const own = Layer.succeed(ConsentCallback.ConsentLanding, ({ result, status, title }) =>
        HttpServerResponse.text(`own page: ${title}, ${result?.failure?.reason}`, { status, contentType: "text/html" })
      )
      const endings: ReadonlyArray<
        readonly [Effect.Effect<Core.ConsentResult, Core.ConsentCallbackError>, readonly [number, string]]
      > = [
        [Effect.succeed(result), [200, "own page: Connected, undefined"]],
        [Effect.succeed({ ...result, failure: denied }), [200, "own page: Not connected, denied"]],
        [
          Effect.fail(new Core.ConsentCallbackError({ reason: "invalid", message: "too old" })),
          [400, "own page: Not connected, undefined"]
        ]
      ]
      for (const [outcome, expected] of endings) {
        const complete = () => outcome
        const routes = Layer.provide(ConsentCallback.routes, [Layer.succeed(Core.ConsentCallback, { complete }), own])
        const response = yield* call(`${yield* serve({}, routes)}${ConsentCallback.path}?code=c&state=s`, browser)
        assert.deepStrictEqual([response.status, response.text], expected)
        assert.strictEqual(response.headers.get("referrer-policy"), "no-referrer")
        assert.strictEqual(response.headers.get("cache-control"), "no-store")
      }
    }).pipe(Effect.scoped)
  )

  it.live("leaves a landing page the policy for its own styles, and lets no site frame it", () =>
    Effect.gen(function* () {
      const complete = () => Effect.succeed(result)
      const policies = yield* Effect.forEach(["style-src 'self'", undefined], (policy) =>
        Effect.gen(function* () {
          const own = Layer.succeed(ConsentCallback.ConsentLanding, () =>
            HttpServerResponse.text("", { headers: policy === undefined ? {} : { "content-security-policy": policy } })
          )
          const routes = Layer.provide(ConsentCallback.routes, [Layer.succeed(Core.ConsentCallback, { complete }), own])
          const { headers } = yield* call(`${yield* serve({}, routes)}${ConsentCallback.path}?code=c&state=s`, browser)
          assert.strictEqual(headers.get("x-frame-options"), "DENY")
          return headers.get("content-security-policy")
        })
      )
      assert.deepStrictEqual(policies, ["style-src 'self'", "default-src 'none'; frame-ancestors 'none'"])
    }).pipe(Effect.scoped)
  )

  it.live("needs no key, and completes the consent from the provider's query", () =>
    Effect.gen(function* () {
      const { queries, url } = yield* consenting(Effect.succeed(result))
      const response = yield* call(`${url}?code=c%2F1&state=s`, browser)
      assert.strictEqual(response.status, 200)
      assert.match(response.headers.get("content-type") ?? "", /^text\/html/)
      assert.include(response.text, "Connected")
      assert.deepStrictEqual(queries, ["code=c%2F1&state=s"])
    }).pipe(Effect.scoped)
  )

  it.live("completes the consent from the query of a target that is no URL", () =>
    Effect.gen(function* () {
      const { queries, url } = yield* consenting(Effect.succeed(result))
      const response = yield* callRaw(url, { path: `http://[${ConsentCallback.path}?code=c&state=s` })
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(queries, ["code=c&state=s"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["ACTIVE", true, "success"],
    ["FAILED", false, "failed"],
    // said no to a new consent; the old credential works on
    ["ACTIVE", false, "failed"]
  ] as const)("sends the user on, %s and %s as %s, and keeps the code to itself", ([status, succeeded, said]) =>
    Effect.gen(function* () {
      const redirectUrl = "https://app.example/done?tab=2"
      const { url } = yield* consenting(
        Effect.succeed({ ...result, status, failure: succeeded ? undefined : denied, redirectUrl })
      )
      const response = yield* call(`${url}?code=c&state=s`, browser)
      assert.strictEqual(response.status, 302)
      assert.strictEqual(response.headers.get("location"), `${redirectUrl}&status=${said}&connected_account_id=${id}`)
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
      assert.strictEqual(response.headers.get("referrer-policy"), "no-referrer")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["https://app.example/done", "?"],
    ["https://app.example/done?", ""],
    ["https://app.example/done?flag&a=b%20c&e=%C3%A9+", "&"]
  ] as const)("leaves the bytes of %s as they are", ([redirectUrl, separator]) =>
    Effect.gen(function* () {
      const { url } = yield* consenting(Effect.succeed({ ...result, redirectUrl: `${redirectUrl}#part?x` }))
      const response = yield* call(`${url}?code=c&state=s`, browser)
      const expected = `${redirectUrl}${separator}status=success&connected_account_id=${id}#part?x`
      assert.strictEqual(response.headers.get("location"), expected)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["invalid", 400],
    ["unavailable", 503]
  ] as const)("that is %s answers %i: a page to a browser, the envelope to a program", ([reason, status]) =>
    Effect.gen(function* () {
      const message = 'This link <b>"was"</b> used'
      const { url } = yield* consenting(Effect.fail(new Core.ConsentCallbackError({ reason, message })))
      const page = yield* call(url, browser)
      assert.strictEqual(page.status, status)
      assert.include(page.text, "This link &lt;b&gt;&quot;was&quot;&lt;/b&gt; used")
      const program = yield* call(url)
      assert.strictEqual(program.status, status)
      const { error } = JSON.parse(program.text)
      assert.include(error, { message, status, slug: `consent_${reason}` })
      assert.strictEqual(error.request_id, program.headers.get("x-request-id"))
    }).pipe(Effect.scoped)
  )

  it.live.each(["sec-purpose", "purpose"])("is not spent by a browser that prefetches and says so in %s", (header) =>
    Effect.gen(function* () {
      const { queries, url } = yield* consenting(Effect.succeed(result))
      const response = yield* call(`${url}?code=c&state=s`, { headers: { ...browser.headers, [header]: "prefetch" } })
      assert.strictEqual(response.status, 503)
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
      assert.deepStrictEqual(queries, [])
    }).pipe(Effect.scoped)
  )

  it.live.each(["HEAD", "POST", "DELETE"])("is not spent by %s", (method) =>
    Effect.gen(function* () {
      const { queries, url } = yield* consenting(Effect.succeed(result))
      const response = yield* call(`${url}?code=c&state=s`, { method })
      assert.strictEqual(response.status, 405)
      assert.strictEqual(response.headers.get("allow"), "GET")
      assert.deepStrictEqual(queries, [])
    }).pipe(Effect.scoped)
  )
})
