/**
 * A unit test as an application would have it: the code under test, a script instead of the service, and virtual time.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId, ConnectedAccounts, Resilience, Unavailable } from "@rekindle/core"
import { ScriptedAccounts } from "@rekindle/testing"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { banner } from "../src/unitTest.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** The service, answering as told, once for each call. */
const answering = (...answers: ReadonlyArray<ScriptedAccounts.ScriptedRefresh>) =>
  ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers: [...answers, ScriptedAccounts.exhausted] })])

describe("the banner", () => {
  it.effect("is empty while the account works", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* banner(id), "")
    }).pipe(Effect.provide(answering(ScriptedAccounts.ready)))
  )

  it.effect("asks to reconnect when a person has to consent", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* banner(id), "Please reconnect")
    }).pipe(Effect.provide(answering(ScriptedAccounts.redirectRequired("https://consent.example"))))
  )

  it.effect("fails on an unknown account, and the type says so", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(banner(ConnectedAccountId.make("ca_nobodynobody")))
      assert.strictEqual(error._tag, "AccountNotFound")
    }).pipe(Effect.provide(answering()))
  )

  it.effect("waits as long as the service asks when there is a retry policy, without a real second passing", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(banner(id))
      yield* TestClock.adjust("8 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "")
      const script = yield* ScriptedAccounts.ScriptedAccounts
      assert.lengthOf(yield* script.callsFor(id), 2)
    }).pipe(
      Effect.provide(
        Resilience.layer(Resilience.retry()).pipe(
          Layer.provideMerge(
            answering(new Unavailable({ message: "busy", retryAfter: Duration.seconds(9) }), ScriptedAccounts.ready)
          )
        )
      )
    )
  )

  it.effect("asks once, for the account it was given", () =>
    Effect.gen(function* () {
      yield* banner(id)
      const script = yield* ScriptedAccounts.ScriptedAccounts
      assert.deepStrictEqual(
        (yield* script.calls).map(({ id, operation }) => [operation, id]),
        [["refresh", id]]
      )
    }).pipe(Effect.provide(answering(ScriptedAccounts.ready)))
  )

  it.effect("is a program over the service, whoever provides it", () =>
    Effect.gen(function* () {
      const service = ConnectedAccounts.of({ refresh: () => Effect.never, get: () => Effect.never })
      const fiber = yield* Effect.forkChild(Effect.provideService(banner(id), ConnectedAccounts, service))
      yield* TestClock.adjust("1 day")
      assert.isUndefined(fiber.pollUnsafe())
    })
  )
})
