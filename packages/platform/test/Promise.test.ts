/** The client and the web handler as Promises. */
import { assert, describe, it } from "@effect/vitest"
import {
  AuthConfig,
  ConnectedAccountId,
  ConnectionNotReady,
  ConsentCallback,
  ConsentCallbackError,
  type ConsentResult,
  TransportError,
  Unauthorized
} from "@rekindle/core"
import { makeApplication } from "@rekindle/core/Promise"
import { callbackPath, client, handler, reveal, secret } from "@rekindle/platform/Promise"
import { ScriptedAccounts, ScriptedConnections } from "@rekindle/testing"
import { Effect, Layer } from "effect"
import { serveConnections } from "./support.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** An application whose consents end as told, and what its callback was given. */
const application = async (end: Effect.Effect<ConsentResult, ConsentCallbackError> = Effect.never) => {
  const completed: Array<readonly [query: string, session: string | undefined]> = []
  const callback = Layer.succeed(ConsentCallback, {
    complete: (query, session) => {
      completed.push([query.toString(), session])
      return end
    }
  })
  const script = ScriptedConnections.layer({ accounts: [ScriptedAccounts.account({ id })] })
  return { ...(await makeApplication(Layer.merge(script, callback))), completed }
}

const connected: ConsentResult = { accountId: id, status: "ACTIVE", redirectUrl: undefined, failure: undefined }

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it was not rejected"),
    (error: unknown) => error
  )

describe("a handler", () => {
  it("completes a consent, with the session of the browser, and serves nothing else", async () => {
    await using rekindle = await application(Effect.succeed(connected))
    await using answer = handler(rekindle, { session: ({ cookies }) => cookies["session"] })
    const response = await answer(
      new Request(`https://app.test${callbackPath}?code=c&state=s`, { headers: { cookie: "session=abc" } })
    )
    assert.strictEqual(response.status, 200)
    assert.include(await response.text(), "Connected")
    assert.strictEqual(response.headers.get("cache-control"), "no-store")
    assert.deepStrictEqual(rekindle.completed, [["code=c&state=s", "abc"]])
    const refresh = new Request(`https://app.test/api/v3/connected_accounts/${id}/refresh`, { method: "POST" })
    assert.strictEqual((await answer(refresh)).status, 404)
  })

  it("tells a browser that its consent is not one", async () => {
    const refused = new ConsentCallbackError({ reason: "invalid", message: "start again" })
    await using rekindle = await application(Effect.fail(refused))
    await using answer = handler(rekindle)
    const response = await answer(new Request(`https://app.test${callbackPath}?state=forged`))
    assert.strictEqual(response.status, 400)
  })

  it("with keys serves the refresh endpoint, which the client calls", async () => {
    await using rekindle = await application()
    await using answer = handler(rekindle, { apiKeys: ["secret-key"] })
    const fetch: typeof globalThis.fetch = (input, init) => answer(new Request(input, init))
    await using right = client({ baseUrl: "https://rekindle.test", apiKey: "secret-key", fetch })
    assert.strictEqual((await right.refresh(id))._tag, "Ready")
    assert.strictEqual((await right.get(id)).id, id)
    await using wrong = client({ baseUrl: "https://rekindle.test", apiKey: "another", fetch })
    const error = await rejection(wrong.refresh(id))
    assert.instanceOf(error, Unauthorized)
    assert.notInclude(String(error), "another")
  })
})

describe("a client", () => {
  it("throws on an address or a key that is malformed, and shows no key", () => {
    for (const options of [
      { baseUrl: "not a url", apiKey: "secret-key" },
      { baseUrl: "http://example.com", apiKey: "secret-key" },
      { baseUrl: "https://rekindle.test", apiKey: "secret-key\n2" }
    ]) {
      let error: unknown
      try {
        client(options)
      } catch (thrown) {
        error = thrown
      }
      assert.deepInclude(error, { _tag: "ConfigError" })
      assert.notInclude(String(error), "secret-key")
    }
  })

  it("rejects with what the policies could not mend, as an Error with a disposition", async () => {
    const fetch = () => Promise.reject(new TypeError("fetch failed", { cause: { code: "ECONNRESET" } }))
    await using rekindle = client({ baseUrl: "https://rekindle.test", apiKey: "secret-key", fetch })
    const error = await rejection(rekindle.refresh(id))
    assert.instanceOf(error, TransportError)
    assert.instanceOf(error, Error)
    assert.strictEqual(error instanceof TransportError && error.disposition, "ambiguous")
  })

  it("has the calls of Connections, and a fetch that carries an account's credential", async () => {
    const key = "rk_test_0123456789"
    const script = ScriptedConnections.layer({ accounts: [ScriptedAccounts.account({ id })] })
    const test = async (baseUrl: string) => {
      const carried: Array<string | null> = []
      const sent: typeof globalThis.fetch = (input, init) => {
        const request = new Request(input, init)
        if (new URL(request.url).hostname !== "api.test") return fetch(request)
        carried.push(request.headers.get("authorization"))
        return Promise.resolve(Response.json({ ok: true }))
      }
      await using rekindle = client({ baseUrl, apiKey: key, fetch: sent })
      const registered = await rekindle.authConfigs.register(
        AuthConfig.make({ id: "config", toolkit: "t", scheme: "OAUTH2", hosts: ["api.test"] })
      )
      assert.strictEqual(registered.toolkit, "t")
      assert.isUndefined(await rekindle.authConfigs.get("nobodys"))
      const account = await rekindle.create({
        authConfigId: "config",
        userId: "ann",
        alias: "mine",
        secrets: { access_token: secret("token-71") }
      })
      assert.strictEqual(account.alias, "mine")
      assert.strictEqual(reveal(await rekindle.accessToken(account.id)), "token-71")
      const answer = await rekindle.fetchAs(account.id)("https://api.test/me")
      assert.deepStrictEqual([await answer.json(), carried], [{ ok: true }, ["Bearer token-71"]])
      await rekindle.link(account.id)
      const types: Array<string> = []
      for await (const { type } of rekindle.events({ follow: false })) types.push(type)
      assert.deepStrictEqual(types, ["consent_started"])
      const waiting = await rekindle.create({ authConfigId: "config", userId: "bea" })
      assert.instanceOf(await rejection(rekindle.accessToken(waiting.id)), ConnectionNotReady)
    }
    await Effect.runPromise(
      serveConnections().pipe(
        Effect.flatMap((url) => Effect.promise(() => test(url))),
        Effect.scoped,
        Effect.provide(script)
      )
    )
  })

  it("ends a read with its signal, and the request with it", async () => {
    let aborted = false
    let arrived = () => {}
    const arrival = new Promise<void>((resolve) => (arrived = resolve))
    const fetch: typeof globalThis.fetch = (_, init) =>
      new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => {
          aborted = true
          reject(init.signal?.reason)
        })
        arrived()
      })
    await using rekindle = client({ baseUrl: "https://rekindle.test", apiKey: "secret-key", fetch })
    const aborting = new AbortController()
    const waiting = rejection(rekindle.with({ signal: aborting.signal }).get(id))
    await arrival
    aborting.abort("enough")
    assert.strictEqual(await waiting, "enough")
    assert.isTrue(aborted)
  })
})
