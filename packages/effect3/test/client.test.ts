import { FetchHttpClient, HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import * as Core from "@rekindle/core"
import * as Rekindle from "@rekindle/effect3"
import { ConnectedAccountId, ConnectedAccounts, RekindleClient } from "@rekindle/effect3"
import { ScriptedAccounts } from "@rekindle/testing"
import { Cause, DateTime, Deferred, Duration, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { Duration as Duration4 } from "effect4"
import { once } from "node:events"
import { inspect } from "node:util"
import { accountId, apiKey, listen, serve } from "./support/server.ts"

const id = ConnectedAccountId.make(accountId)

const client = (baseUrl: string, key = apiKey) => RekindleClient.layer({ baseUrl, apiKey: Redacted.make(key) })
const refresh = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.refresh(id))
const get = Effect.flatMap(ConnectedAccounts, (accounts) => accounts.get(id))

/** A call through a transport that does this with each request. */
const through = (execute: Parameters<typeof HttpClient.make>[0]) =>
  Effect.provide(
    refresh,
    Layer.provide(client("https://rekindle.test"), Layer.succeed(HttpClient.HttpClient, HttpClient.make(execute)))
  )

const envelope = {
  message: "no",
  code: 1234,
  slug: "some_slug",
  suggestedFix: "Try something else",
  errors: ["a", "b"]
}

describe("the client", () => {
  it.scopedLive("gives each outcome, and reads the account", () =>
    Effect.gen(function* () {
      const baseUrl = yield* serve(
        ScriptedAccounts.ready,
        ScriptedAccounts.redirectRequired("https://consent.test/1"),
        ScriptedAccounts.notReady("EXPIRED")
      )
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* refresh, { _tag: "Ready", id })
        const redirectUrl = "https://consent.test/1"
        assert.deepStrictEqual(yield* refresh, { _tag: "RedirectRequired", id, redirectUrl, status: "ACTIVE" })
        assert.deepStrictEqual(yield* refresh, { _tag: "NotReady", id, status: "EXPIRED" })
        const account = yield* get
        assert.strictEqual(account.status, "EXPIRED")
        assert.isTrue(DateTime.isDateTime(account.createdAt))
      }).pipe(Effect.provide(client(baseUrl)))
    })
  )

  it.scopedLive("fails with an error of Effect 3 for each status, with all fields of the server's answer", () =>
    Effect.gen(function* () {
      const wait = { retryAfter: Duration4.seconds(7) }
      const baseUrl = yield* serve(
        new Core.InvalidRequest(envelope),
        new Core.Unauthorized(envelope),
        new Core.Forbidden(envelope),
        new Core.AccountNotFound(envelope),
        new Core.RefreshFailed({ ...envelope, slug: "refresh_refused" }),
        new Core.RefreshUnsupported(envelope),
        new Core.RateLimited({ ...envelope, ...wait }),
        new Core.Unavailable({ ...envelope, ...wait })
      )
      const wait3 = { retryAfter: Duration.seconds(7) }
      const expected = [
        new Rekindle.InvalidRequest(envelope),
        new Rekindle.Unauthorized(envelope),
        new Rekindle.Forbidden(envelope),
        new Rekindle.AccountNotFound(envelope),
        new Rekindle.RefreshFailed({ ...envelope, slug: "refresh_refused" }),
        new Rekindle.RefreshUnsupported(envelope),
        new Rekindle.RateLimited({ ...envelope, ...wait3 }),
        new Rekindle.Unavailable({ ...envelope, ...wait3 })
      ]
      yield* Effect.gen(function* () {
        for (const error of expected) {
          const failed = yield* Effect.flip(refresh)
          assert.strictEqual(failed.constructor, error.constructor)
          assert.strictEqual(failed.message, error.message)
          // The server gives each request an id of its own.
          assert.match("requestId" in failed ? String(failed.requestId) : "", /^req_/)
          assert.deepStrictEqual({ ...failed, requestId: "" }, { ...error, requestId: "" })
        }
        const caught = yield* Effect.catchTag(refresh, "Unavailable", ({ disposition, retryAfter, status }) =>
          Effect.succeed({ disposition, retryAfter, status })
        )
        assert.deepStrictEqual(caught, { disposition: "rejected", retryAfter: Duration.seconds(7), status: 503 })
      }).pipe(Effect.provide(client(baseUrl)))
    })
  )

  it.scopedLive("tells a wrong key without repeating it", () =>
    Effect.gen(function* () {
      const baseUrl = yield* serve()
      const exit = yield* Effect.exit(Effect.provide(refresh, client(baseUrl, "key-swordfish")))
      assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error._tag === "Unauthorized")
      for (const text of [String(exit), JSON.stringify(exit), inspect(exit, { depth: 10, showHidden: true })])
        assert.notInclude(text, "swordfish")
    })
  )

  it.scopedLive("says that nothing was sent where nobody listens", () =>
    Effect.gen(function* () {
      const baseUrl = yield* Effect.scoped(serve())
      const error = yield* Effect.flip(Effect.provide(refresh, client(baseUrl)))
      assert.deepInclude(error, { _tag: "TransportError", reason: "connect", disposition: "not-sent" })
    })
  )

  it.scopedLive("shows the answer of a proxy", () =>
    Effect.gen(function* () {
      const baseUrl = yield* listen((_, response) => response.writeHead(502).end("<h1>Bad gateway</h1>"))
      const error = yield* Effect.flip(Effect.provide(refresh, client(baseUrl)))
      assert.deepInclude(error, {
        _tag: "UnexpectedResponse",
        status: 502,
        excerpt: "<h1>Bad gateway</h1>",
        disposition: "ambiguous"
      })
    })
  )

  it.effect("refuses malformed settings without repeating them", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(refresh, client("ftp://user:hunter2@rekindle.test")))
      assert.strictEqual(error._tag, "ConfigError")
      assert.notInclude(String(error), "hunter2")
    })
  )

  it.scopedLive("closes its request if the call is interrupted", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const closed = yield* Deferred.make<void>()
      const baseUrl = yield* listen((request) => {
        Deferred.unsafeDone(arrived, Effect.void)
        void once(request.socket, "close").then(() => Deferred.unsafeDone(closed, Effect.void))
      })
      const call = yield* Effect.fork(Effect.provide(refresh, client(baseUrl)))
      yield* Deferred.await(arrived)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(call)))
      yield* Deferred.await(closed)
    })
  )
})

describe("the client on a given HttpClient", () => {
  it.scopedLive("sends its requests through it", () =>
    Effect.gen(function* () {
      const baseUrl = yield* serve()
      const sent: Array<string> = []
      const transport = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.tapRequest((request) => Effect.sync(() => sent.push(`${request.method} ${request.url}`)))
        )
      ).pipe(Layer.provide(FetchHttpClient.layer))
      assert.deepStrictEqual(yield* Effect.provide(refresh, Layer.provide(client(baseUrl), transport)), {
        _tag: "Ready",
        id
      })
      assert.deepStrictEqual(sent, [`POST ${baseUrl}/api/v3/connected_accounts/${id}/refresh`])
    })
  )

  it.effect("says of its failure whether the request may have left", () =>
    Effect.gen(function* () {
      const failure = (cause: unknown) =>
        Effect.flip(
          through((request) => Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause })))
        )
      const refused = yield* failure(Object.assign(new Error("?"), { code: "ECONNREFUSED", syscall: "connect" }))
      assert.deepInclude(refused, { _tag: "TransportError", reason: "connect", disposition: "not-sent" })
      const reset = yield* failure(Object.assign(new Error("?"), { code: "ECONNRESET", syscall: "read" }))
      assert.deepInclude(reset, { _tag: "TransportError", reason: "reset", disposition: "ambiguous" })
    })
  )

  it.scopedLive("follows no redirect, which would take the key along", () =>
    Effect.gen(function* () {
      const seen: Array<string | undefined> = []
      const baseUrl = yield* listen((request, response) => {
        seen.push(request.url)
        response.writeHead(307, { location: "/elsewhere" }).end()
      })
      const error = yield* Effect.flip(Effect.provide(refresh, Layer.provide(client(baseUrl), FetchHttpClient.layer)))
      assert.deepInclude(error, { _tag: "UnexpectedResponse", status: 307 })
      assert.deepStrictEqual(seen, [`/api/v3/connected_accounts/${id}/refresh`])
    })
  )

  it.effect("interrupts it with the call, and waits for its finalizers", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const order: Array<string> = []
      const call = yield* Effect.fork(
        through(() =>
          Deferred.succeed(started, undefined).pipe(
            Effect.zipRight(Effect.never),
            Effect.onInterrupt(() =>
              Effect.yieldNow().pipe(Effect.zipRight(Effect.sync(() => order.push("finalized"))))
            )
          )
        )
      )
      yield* Deferred.await(started)
      const exit = yield* Fiber.interrupt(call)
      order.push("interrupted")
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(order, ["finalized", "interrupted"])
    })
  )

  it.effect("is interrupted where the transport interrupts itself, and dies where it dies", () =>
    Effect.gen(function* () {
      const interrupted = yield* Effect.exit(through(() => Effect.interrupt))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.isInterruptedOnly(interrupted.cause))
      const died = yield* Effect.exit(through(() => Effect.dieMessage("a mistake in the transport")))
      assert.isTrue(Exit.isFailure(died) && Cause.isDieType(died.cause))
      assert.include(String(died), "a mistake in the transport")
    })
  )

  it.effect("runs it with the context and the fiber references of the call", () =>
    Effect.gen(function* () {
      const outcome = yield* through((request) =>
        Effect.map(Effect.logAnnotations, (annotations) =>
          HttpClientResponse.fromWeb(
            request,
            Response.json({ id: accountId, status: [...annotations].join(), redirect_url: null })
          )
        )
      ).pipe(Effect.annotateLogs("tenant", "acme"))
      assert.deepStrictEqual(outcome, { _tag: "NotReady", id, status: "tenant,acme" })
    })
  )
})
