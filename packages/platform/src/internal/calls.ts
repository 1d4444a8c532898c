/**
 * The calls that handlers make of the services, with their failures as the server answers them.
 *
 * @module
 */
import type { RefreshError, StatusError } from "@rekindle/core"
import { Effect, Fiber } from "effect"
import { HttpServerRequest } from "effect/http"
import { answerChange, answerRead, asPublished } from "./upstream.ts"

/** Makes the calls. The scope owns those that run to their end. */
export const makeCalls = Effect.gen(function* () {
  const scope = yield* Effect.scope
  // The limit is for requests of callers. It must not apply to answers that the provider receives.
  const ambientLimit = yield* HttpServerRequest.MaxBodySize
  const asProvider = Effect.provideService(HttpServerRequest.MaxBodySize, ambientLimit)

  /** To interrupt what may spend a grant or change an account could lose the result, so it runs to its end. */
  const toItsEnd = <A, E, R>(call: Effect.Effect<A, E, R>) =>
    call.pipe(asProvider, Effect.forkIn(scope), Effect.flatMap(Fiber.join))

  return {
    asProvider,
    reading: <A, E, R>(call: Effect.Effect<A, E, R>) => answerRead(asProvider(call)),
    /** A read that may renew first. */
    renewing: <A, E, R>(call: Effect.Effect<A, E, R>) => answerRead(toItsEnd(call)),
    changing: <A, E, R>(call: Effect.Effect<A, E, R>) => answerChange(toItsEnd(call))
  }
})

/** The same for the published endpoints, which answer 404 for an unknown auth config. */
export const makePublishedCalls = Effect.map(makeCalls, ({ changing, reading }) => ({
  reading: <A, R>(call: Effect.Effect<A, RefreshError, R>): Effect.Effect<A, StatusError, R> =>
    Effect.mapError(reading(call), asPublished),
  changing: <A, R>(call: Effect.Effect<A, RefreshError, R>): Effect.Effect<A, StatusError, R> =>
    Effect.mapError(changing(call), asPublished)
}))
