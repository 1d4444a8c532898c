import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, layer } from "@effect/vitest"
import { CurrentProject, RefreshFailed, Ready } from "@rekindle/core"
import { ApiKeys, RekindleClient } from "@rekindle/platform"
import { Deferred, Duration, Effect, Logger, Redacted } from "effect"
import type { RequestListener } from "node:http"
import { account, apiKey, call, id, impostor, nobody, serve } from "./support.ts"

const clientOf = (baseUrl: string) => RekindleClient.make({ baseUrl, apiKey: Redacted.make(apiKey) })

/** A client of a gateway of the server at `upstream`: client, routes, client, and whatever is there. */
const through = (upstream: string) =>
  Effect.flatMap(Effect.flatMap(clientOf(upstream), serve), clientOf).pipe(Effect.provide(Logger.layer([])))

layer(NodeHttpClient.layerNodeHttp, { excludeTestServices: true })("a gateway", (it) => {
  it.effect("accepts larger answers from the upstream than bodies from callers", () =>
    Effect.gen(function* () {
      const big = { ...account, statusReason: "x".repeat(100 * 1024) }
      const client = yield* through(yield* serve({ get: () => Effect.succeed(big) }))
      assert.deepStrictEqual(yield* client.get(id), big)
    })
  )

  it.effect("calls for the project of the key", () =>
    Effect.gen(function* () {
      const client = yield* clientOf(
        yield* serve({
          refresh: (id) =>
            Effect.flatMap(CurrentProject, (project) =>
              project === "project_1" ? Effect.succeed(Ready.make({ id })) : Effect.die(project)
            )
        })
      )
      assert.deepStrictEqual(yield* client.refresh(id), Ready.make({ id }))
    })
  )

  it.effect("calls for the default project, and not for all, if the key names none", () =>
    Effect.gen(function* () {
      const keys = yield* ApiKeys
      assert.strictEqual((yield* keys.check(Redacted.make("key"))).projectId, CurrentProject.defaultValue())
    }).pipe(Effect.provide(ApiKeys.layerStatic([Redacted.make("key")])))
  )

  it.effect("passes on the answers of our own server", () =>
    Effect.gen(function* () {
      const error = new RefreshFailed({ message: "as it was said", slug: "provider_error", errors: ["invalid_client"] })
      const good = yield* through(yield* serve())
      assert.deepStrictEqual(yield* good.refresh(id), Ready.make({ id }))
      assert.deepStrictEqual(yield* good.get(id), account)
      const bad = yield* through(yield* serve({ refresh: () => Effect.fail(error) }))
      const received = yield* Effect.flip(bad.refresh(id))
      assert.deepInclude({ ...received }, { _tag: "RefreshFailed", slug: "provider_error", errors: ["invalid_client"] })
    })
  )

  const busy = JSON.stringify({ error: { message: "busy", code: 42900, status: 429 } })
  const cases: ReadonlyArray<readonly [name: string, RequestListener, tag: string, disposition: string]> = [
    ["is gone in mid-request", (request) => void request.socket.destroy(), "RefreshFailed", "ambiguous"],
    [
      "answers a proxy's 502",
      (_, response) => void response.writeHead(502).end("<html>"),
      "RefreshFailed",
      "ambiguous"
    ],
    ["answers an undeclared 4xx", (_, response) => void response.writeHead(422).end(), "Unavailable", "rejected"],
    [
      "is busy",
      (_, response) => void response.writeHead(429, { "retry-after": "9" }).end(busy),
      "RateLimited",
      "rejected"
    ]
  ]

  it.effect.each(cases)("keeps the disposition if the upstream %s", ([, listener, tag, disposition]) =>
    Effect.gen(function* () {
      const client = yield* through(yield* impostor(listener))
      const error = yield* Effect.flip(client.refresh(id))
      assert.deepStrictEqual([error._tag, error.disposition], [tag, disposition])
      if (error._tag === "RateLimited") assert.deepStrictEqual(error.retryAfter, Duration.seconds(9))
    })
  )

  it.effect("answers that nothing was done if the upstream cannot be reached", () =>
    Effect.gen(function* () {
      const client = yield* through(nobody)
      const error = yield* Effect.flip(client.refresh(id))
      assert.deepStrictEqual([error._tag, error.disposition], ["Unavailable", "rejected"])
    })
  )

  it.effect("does not interrupt the upstream request if its caller disconnects", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const proceed = yield* Deferred.make<void>()
      const outcome = yield* Deferred.make<"answered" | "cut">()
      const upstream = yield* impostor((_, response) => {
        response.on("close", () =>
          Deferred.doneUnsafe(outcome, Effect.succeed(response.writableFinished ? "answered" : "cut"))
        )
        Deferred.doneUnsafe(arrived, Effect.void)
        Effect.runFork(
          Effect.andThen(
            Deferred.await(proceed),
            Effect.sync(() => response.end(JSON.stringify({ id, status: "ACTIVE", redirect_url: null })))
          )
        )
      })
      const gateway = yield* Effect.flatMap(clientOf(upstream), serve)
      const client = yield* clientOf(gateway)
      yield* Effect.raceFirst(client.refresh(id), Deferred.await(arrived))
      // A whole request behind the hang-up gives the gateway the time to notice it.
      yield* call(`${gateway}/nowhere`)
      yield* Deferred.succeed(proceed, undefined)
      assert.strictEqual(yield* Deferred.await(outcome), "answered")
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
