import { assert, describe, it } from "@effect/vitest"
import * as Core from "@rekindle/core"
import { ConsentCallback } from "@rekindle/platform"
import { Effect, Layer, Logger, Tracer } from "effect"
import { HttpRouter } from "effect/http"
import { call, serve } from "./support.ts"

const routes = ConsentCallback.routes.pipe(
  Layer.provide(
    Layer.succeed(Core.ConsentCallback, {
      complete: () => Effect.fail(new Core.ConsentCallbackError({ reason: "unavailable", message: "later" }))
    })
  )
)

/** Everything that a server which traces and logs remembers of one callback. */
const remembered = Effect.gen(function* () {
  const spans: Array<Tracer.NativeSpan> = []
  const lines: Array<string> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const url = yield* serve({}, routes).pipe(
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.provide(Logger.layer([Logger.map(Logger.formatLogFmt, (line) => lines.push(line))]))
  )
  yield* call(`${url}${ConsentCallback.path}?code=c0de&state=st4te&oauth_verifier=v3rifier&iss=issuer`)
  return JSON.stringify([spans.map(({ attributes, name }) => [name, Object.fromEntries(attributes)]), lines])
})

describe("the query of the consent callback", () => {
  it.live("reaches no span and no log line of the server", () =>
    Effect.gen(function* () {
      const all = yield* remembered
      assert.include(all, ConsentCallback.path)
      assert.include(all, "issuer")
      assert.notMatch(all, /c0de|st4te|v3rifier/)
    }).pipe(Effect.scoped)
  )

  it("cannot be served without a decision about its privacy", () => {
    const server = HttpRouter.serve(routes)
    const needs: ConsentCallback.ConsentCallbackPrivacy extends Layer.Services<typeof server> ? true : false = true
    const redacted = Layer.provide(server, ConsentCallback.layerRedacted)
    const recorded = Layer.provide(server, ConsentCallback.layerRecorded)
    const neither: ConsentCallback.ConsentCallbackPrivacy extends Layer.Services<typeof redacted | typeof recorded>
      ? true
      : false = false
    assert.deepStrictEqual([needs, neither], [true, false])
  })
})
