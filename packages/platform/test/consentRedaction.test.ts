import { assert, describe, it } from "@effect/vitest"
import {
  ConsentCallback,
  ConsentCallbackError,
  consentCallbackPath,
  type ConsentCallbackPrivacy,
  ConsentCallbackRecorded,
  ConsentCallbackRedaction,
  ConsentCallbackRoutes
} from "@rekindle/platform"
import { Effect, Layer, Logger, Tracer } from "effect"
import { HttpRouter } from "effect/http"
import { call, serve } from "./support.ts"

const routes = ConsentCallbackRoutes.pipe(
  Layer.provide(
    Layer.succeed(ConsentCallback, {
      complete: () => Effect.fail(new ConsentCallbackError({ reason: "unavailable", message: "later" }))
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
  yield* call(`${url}${consentCallbackPath}?code=c0de&state=st4te&oauth_verifier=v3rifier&iss=issuer`)
  return JSON.stringify([spans.map(({ attributes, name }) => [name, Object.fromEntries(attributes)]), lines])
})

describe("the query of the consent callback", () => {
  it.live("reaches no span and no log line of the server", () =>
    Effect.gen(function* () {
      const all = yield* remembered
      assert.include(all, consentCallbackPath)
      assert.include(all, "issuer")
      assert.notMatch(all, /c0de|st4te|v3rifier/)
    }).pipe(Effect.scoped)
  )

  it("cannot be served by somebody who forgot to decide about it", () => {
    const server = HttpRouter.serve(routes)
    const needs: ConsentCallbackPrivacy extends Layer.Services<typeof server> ? true : false = true
    const redacted = Layer.provide(server, ConsentCallbackRedaction)
    const recorded = Layer.provide(server, ConsentCallbackRecorded)
    const neither: ConsentCallbackPrivacy extends Layer.Services<typeof redacted | typeof recorded> ? true : false =
      false
    assert.deepStrictEqual([needs, neither], [true, false])
  })
})
