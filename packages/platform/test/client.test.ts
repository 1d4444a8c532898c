import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, layer } from "@effect/vitest"
import {
  AccountNotFound,
  ConnectedAccount,
  type Disposition,
  Forbidden,
  InvalidRequest,
  NotReady,
  RateLimited,
  Ready,
  RedirectRequired,
  type RefreshError,
  RefreshFailed,
  type RefreshOptions,
  type RefreshOutcome,
  RefreshUnsupported,
  Unauthorized,
  Unavailable,
  UnexpectedResponse
} from "@rekindle/core"
import { RekindleClient } from "@rekindle/platform"
import * as UndiciHttpClient from "@rekindle/platform/UndiciHttpClient"
import { Cause, DateTime, Deferred, Duration, Effect, Fiber, Inspectable, Logger, Redacted, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import type { IncomingHttpHeaders, RequestListener } from "node:http"
import { account, apiKey, id, impostor, nobody, serve } from "./support.ts"

const connect = (baseUrl: string, options: Partial<RekindleClient.Options> = {}) =>
  RekindleClient.make({ baseUrl, apiKey: Redacted.make(apiKey), ...options })

/** A client of a server that answers one thing. */
const against = (status: number, body: string, headers: Record<string, string> = {}) =>
  Effect.flatMap(
    impostor((_, response) => response.writeHead(status, headers).end(body)),
    (url) => connect(url)
  )

const wire = JSON.stringify({ id, status: "ACTIVE", redirect_url: null })
const enveloped = (status: number) => JSON.stringify({ error: { message: "no", code: status * 100, status } })

const clients = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["undici's dispatcher", UndiciHttpClient.layer],
  ["node:http", NodeHttpClient.layerNodeHttp]
] as const

describe.each(clients)("the client over %s", (_, httpClient) => {
  layer(httpClient, { excludeTestServices: true })((it) => {
    describe("against our own server", () => {
      const outcomes: ReadonlyArray<RefreshOutcome> = [
        Ready.make({ id }),
        RedirectRequired.make({ id, redirectUrl: "https://idp.example/consent?a=1", status: "ACTIVE" }),
        NotReady.make({ id, status: "REVOKED" })
      ]

      it.effect.each(outcomes)("returns the outcome $_tag", (outcome) =>
        Effect.gen(function* () {
          const url = yield* serve({ refresh: () => Effect.succeed(outcome) })
          for (const apiVersion of ["v3", "v3.1"] as const) {
            const client = yield* connect(url, { apiVersion })
            assert.deepStrictEqual(yield* client.refresh(id), outcome)
          }
        })
      )

      it.effect("returns the account", () =>
        Effect.gen(function* () {
          const client = yield* connect(yield* serve())
          assert.deepStrictEqual(yield* client.get(id), account)
        })
      )

      const fields = {
        message: "as it was said",
        code: 4711,
        slug: "told_apart",
        suggestedFix: "do this",
        errors: ["one", "two"]
      }
      const errors = [
        new InvalidRequest(fields),
        new Unauthorized(fields),
        new Forbidden(fields),
        new AccountNotFound(fields),
        new RefreshFailed(fields),
        new RefreshUnsupported(fields),
        new RateLimited({ ...fields, retryAfter: Duration.seconds(3) }),
        new Unavailable({ ...fields, retryAfter: Duration.seconds(4) })
      ]

      it.effect.each(errors)("returns $_tag with every field of the envelope, and the request id", (error) =>
        Effect.gen(function* () {
          const client = yield* connect(yield* serve({ refresh: () => Effect.fail(error) }))
          const { requestId, ...received } = { ...(yield* Effect.flip(client.refresh(id))) } as Record<string, unknown>
          assert.match(String(requestId), /^req_/)
          assert.deepStrictEqual(received, { ...error })
        })
      )

      it.effect("returns the same errors from a read", () =>
        Effect.gen(function* () {
          const received = yield* Effect.forEach(errors, (error) =>
            Effect.gen(function* () {
              const client = yield* connect(yield* serve({ get: () => Effect.fail(error) }))
              const { requestId, ...fields } = { ...(yield* Effect.flip(client.get(id))) } as Record<string, unknown>
              assert.match(String(requestId), /^req_/)
              return fields
            })
          )
          assert.deepStrictEqual(
            received,
            errors.map((error) => ({ ...error }))
          )
        }).pipe(Effect.provide(Logger.layer([])))
      )

      it.effect("reads an account without a user id", () =>
        Effect.gen(function* () {
          const { userId, ...nameless } = account
          assert.isDefined(userId)
          const client = yield* against(200, JSON.stringify(Schema.encodeSync(ConnectedAccount)(nameless)))
          assert.deepStrictEqual(yield* client.get(id), nameless)
        })
      )

      it.effect("sends every option to the server", () =>
        Effect.gen(function* () {
          const seen: Array<RefreshOptions | undefined> = []
          const url = yield* serve({
            refresh: (id, options) => Effect.sync(() => (seen.push(options), Ready.make({ id })))
          })
          const client = yield* connect(url)
          const deadline = DateTime.add(yield* DateTime.now, { seconds: 60 })
          const options = { redirectUrl: "https://app.example/", validateCredentials: false, idempotencyKey: "k" }
          yield* client.refresh(id, { ...options, deadline })
          yield* client.refresh(id, {})
          const [first, second] = seen
          assert.deepInclude(first, options)
          const apart = (first?.deadline?.epochMilliseconds ?? 0) - deadline.epochMilliseconds
          assert.isBelow(Math.abs(apart), 5_000)
          assert.deepStrictEqual(second, {})
        })
      )
    })

    describe("against a foreign server", () => {
      const tooLong = "<html>".padEnd(UnexpectedResponse.excerptLimit * 3, "x")
      const cases: ReadonlyArray<readonly [name: string, status: number, body: string, disposition: Disposition]> = [
        ["a 502 with a page of HTML", 502, tooLong, "ambiguous"],
        ["a bare 503 of a proxy", 503, "", "ambiguous"],
        ["a bare 429 of a proxy", 429, "slow down", "rejected"],
        ["a 404 that is not of the contract", 404, "<h1>Not Found</h1>", "rejected"],
        ["a 500 whose envelope lacks the code", 500, '{"error":{"message":"x","status":500}}', "ambiguous"],
        ["a 418 with an envelope", 418, enveloped(418), "rejected"],
        ["a 409", 409, enveloped(409), "ambiguous"],
        ["a 201", 201, wire, "ambiguous"],
        ["a 204", 204, "", "ambiguous"],
        ["a 200 with a page of HTML", 200, tooLong, "ambiguous"],
        ["a 200 cut short", 200, wire.slice(0, 20), "ambiguous"],
        ["a 200 without redirect_url", 200, JSON.stringify({ id, status: "ACTIVE" }), "ambiguous"],
        ["a 200 with an id that is none", 200, wire.replace(id, "x"), "ambiguous"]
      ]

      it.effect.each(cases.map(([name, status, body, disposition]) => ({ name, status, body, disposition })))(
        "$name is an unexpected response, and $disposition",
        ({ body, disposition, status }) =>
          Effect.gen(function* () {
            const client = yield* against(status, body)
            const error = yield* Effect.flip(client.refresh(id))
            if (error._tag !== "UnexpectedResponse") return assert.fail(error._tag)
            assert.strictEqual(error.status, status)
            assert.strictEqual(error.disposition, disposition)
            assert.strictEqual(error.excerpt, body.slice(0, UnexpectedResponse.excerptLimit))
          })
      )

      const link = "https://idp.example/authorize?client_id=1&state=s3cr3t"
      it.effect.each([
        link,
        link.replaceAll("/", "\\/"),
        link.replaceAll("/", "\\u002f"),
        encodeURIComponent(link),
        "myapp://callback?code=s3cr3t",
        "/api/v3/callback?code=s3cr3t&state=1",
        "access_token=s3cr3t&token_type=bearer",
        "eyJhbGciOiJub25lIn0.s3cr3t.c2lnbmF0dXJl"
      ])("keeps no link and no token of what it quotes: %s", (opener) =>
        Effect.gen(function* () {
          const body = JSON.stringify({ id, note: "moved", redirect_url: "@" }).replace("@", opener)
          const client = yield* against(200, body)
          const error = yield* Effect.flip(client.refresh(id))
          if (error._tag !== "UnexpectedResponse") return assert.fail(error._tag)
          assert.notMatch(error.excerpt, /s3cr3t|idp|:\/\//)
          assert.include(error.excerpt, `"note":"moved"`)
        })
      )

      it.effect("accepts an unknown status and unknown fields", () =>
        Effect.gen(function* () {
          const client = yield* against(200, JSON.stringify({ id, status: "PAUSED", redirect_url: null, later: {} }))
          const outcome = yield* client.refresh(id)
          assert.deepEqual(outcome, { _tag: "NotReady", id, status: "PAUSED" } as never)
        })
      )

      it.effect("does not report an account as not found if the base URL is wrong", () =>
        Effect.gen(function* () {
          const client = yield* connect(`${yield* serve()}/elsewhere`)
          for (const attempt of [client.refresh(id), client.get(id)]) {
            const error = yield* Effect.flip(attempt as Effect.Effect<never, RefreshError>)
            if (error._tag !== "UnexpectedResponse") return assert.fail(error._tag)
            assert.deepStrictEqual([error.status, error.disposition], [404, "rejected"])
            assert.include(error.excerpt, "route_not_found")
          }
        })
      )

      it.effect("treats a null in the envelope as an absent field", () =>
        Effect.gen(function* () {
          const error = { message: "busy", code: 1, status: 503, slug: null, request_id: null, errors: null }
          const client = yield* against(503, JSON.stringify({ error }))
          const failure = yield* Effect.flip(client.refresh(id))
          if (failure._tag !== "Unavailable") return assert.fail(failure._tag)
          assert.deepStrictEqual(
            [failure.disposition, failure.slug, failure.errors],
            ["rejected", undefined, undefined]
          )
        })
      )

      it.effect("reads a Retry-After with spaces around it", () =>
        Effect.gen(function* () {
          const client = yield* against(503, enveloped(503), { "retry-after": " 7  " })
          const error = yield* Effect.flip(client.refresh(id))
          if (error._tag !== "Unavailable") return assert.fail(error._tag)
          assert.deepStrictEqual(error.retryAfter, Duration.seconds(7))
        })
      )

      it.effect("keeps no excerpt of an account that does not decode", () =>
        Effect.gen(function* () {
          const client = yield* against(200, JSON.stringify({ id, state: { val: { access_token: "ya29.secret" } } }))
          const error = yield* Effect.flip(client.get(id))
          assert.strictEqual(error._tag, "UnexpectedResponse")
          assert.notInclude(Inspectable.toStringUnknown(error) + String(Cause.fail(error)), "ya29")
        })
      )

      it.effect.each([301, 302, 303, 307, 308])("does not send the key to the target of a %i", (status) =>
        Effect.gen(function* () {
          const elsewhere: Array<IncomingHttpHeaders> = []
          const other = yield* impostor((request, response) => {
            elsewhere.push(request.headers)
            response.end(wire)
          })
          const client = yield* against(status, "", { location: `${other}/` })
          const error = yield* Effect.flip(client.refresh(id))
          assert.strictEqual(error._tag, "UnexpectedResponse")
          assert.deepStrictEqual(elsewhere, [])
        })
      )

      it.effect("stops reading an endless answer at its limit", () =>
        Effect.gen(function* () {
          let sent = 0
          const url = yield* impostor((_, response) => {
            response.writeHead(200)
            const pump = () => {
              while (!response.destroyed && response.write("x".repeat(64 * 1024))) sent += 64 * 1024
              response.once("drain", pump)
            }
            pump()
          })
          const client = yield* connect(url)
          const error = yield* Effect.flip(client.refresh(id))
          if (error._tag !== "UnexpectedResponse") return assert.fail(error._tag)
          assert.strictEqual(error.excerpt.length, UnexpectedResponse.excerptLimit)
          assert.isBelow(sent, 32 * 1024 * 1024)
        })
      )

      it.effect("does not trust the content length of a compressed answer", () =>
        Effect.gen(function* () {
          const { gzipSync } = yield* Effect.promise(() => import("node:zlib"))
          const bomb = gzipSync(" ".repeat(8 * 1024 * 1024) + wire)
          const url = yield* impostor((_, response) =>
            response.writeHead(200, { "content-encoding": "gzip", "content-length": bomb.length }).end(bomb)
          )
          const client = yield* connect(url)
          assert.strictEqual((yield* Effect.flip(client.refresh(id)))._tag, "UnexpectedResponse")
        })
      )
    })

    describe("with a connection that fails", () => {
      it.effect("is not-sent if no server listens", () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Effect.flatMap(connect(nobody), (client) => client.refresh(id)))
          if (error._tag !== "TransportError") return assert.fail(error._tag)
          assert.deepStrictEqual([error.reason, error.disposition], ["connect", "not-sent"])
        })
      )

      const dropped: ReadonlyArray<readonly [string, RequestListener]> = [
        ["before an answer", (request) => void request.socket.destroy()],
        [
          "in the middle of an answer",
          (request, response) => {
            response.writeHead(200, { "content-length": 1000 })
            response.write("{", () => request.socket.destroy())
          }
        ]
      ]

      it.effect.each(dropped)("is ambiguous if the connection breaks %s", ([, listener]) =>
        Effect.gen(function* () {
          const client = yield* connect(yield* impostor(listener))
          const error = yield* Effect.flip(client.refresh(id))
          if (error._tag !== "TransportError") return assert.fail(error._tag)
          assert.deepStrictEqual([error.reason, error.disposition], ["reset", "ambiguous"])
        })
      )

      it.effect("is ambiguous if the deadline passes, and closes the connection", () =>
        Effect.gen(function* () {
          const arrived = yield* Deferred.make<void>()
          const closed = yield* Deferred.make<void>()
          const url = yield* impostor((request) => {
            request.socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
            Deferred.doneUnsafe(arrived, Effect.void)
          })
          const client = yield* connect(url)
          const deadline = DateTime.add(yield* DateTime.now, { seconds: 80 })
          const waiting = yield* Effect.forkChild(Effect.flip(client.refresh(id, { deadline })))
          yield* Deferred.await(arrived)
          yield* TestClock.adjust("80 seconds")
          const error = yield* Fiber.join(waiting)
          if (error._tag !== "DeadlineExceeded") return assert.fail(error._tag)
          assert.strictEqual(error.disposition, "ambiguous")
          assert.deepStrictEqual(error.timeout, Duration.seconds(80))
          yield* Deferred.await(closed)
        }).pipe(Effect.provide(TestClock.layer()))
      )
    })

    it.effect("never shows the key, even if the server echoes it", () =>
      Effect.gen(function* () {
        const lines: Array<unknown> = []
        const logger = Logger.make((entry) =>
          lines.push(Inspectable.toStringUnknown(entry.message), String(entry.cause))
        )
        const echo: RequestListener = (request, response) =>
          response.writeHead(502).end(`You sent ${JSON.stringify(request.headers)}`)
        const inEnvelope: RequestListener = (request, response) =>
          response
            .writeHead(401)
            .end(JSON.stringify({ error: { message: `bad ${request.headers["x-api-key"]}`, code: 1, status: 401 } }))
        // As some encoders escape; decoding would bring it back.
        const escaped = apiKey.replaceAll("_", "\\u005F")
        const inJson: RequestListener = (_, response) =>
          response
            .writeHead(404, { "x-request-id": `for ${apiKey}` })
            .end(`{"error":{"message":"bad ${escaped}","code":1,"status":404}}`)
        for (const listener of [
          echo,
          inEnvelope,
          inJson,
          (request) => void request.socket.destroy()
        ] satisfies Array<RequestListener>) {
          const client = yield* connect(yield* impostor(listener))
          for (const attempt of [client.refresh(id), client.get(id)]) {
            const error = yield* Effect.flip(attempt as Effect.Effect<never, RefreshError>)
            yield* Effect.logError("failed", Cause.fail(error)).pipe(Effect.provide(Logger.layer([logger])))
            lines.push(JSON.stringify(error), Inspectable.toStringUnknown(error), error.stack, String(error.cause))
          }
        }
        assert.isAbove(lines.length, 10)
        assert.notInclude(lines.join("\n"), apiKey)
      })
    )
  })
})
