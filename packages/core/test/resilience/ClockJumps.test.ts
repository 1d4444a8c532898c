/**
 * A wall clock that is set while a program runs. What is to last for a while lasts as long as before, and a flight is still shared.
 */
import { Resilience } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber } from "effect"
import * as Breaker from "effect/persistence/CircuitBreaker"
import { TestClock } from "effect/testing"
import { assertSame, boom, id, ready, scripted } from "./script.ts"

const hour = 3_600_000

/** Runs with a wall clock that can be set. Sleeping and the monotonic time are not affected, as on a real machine. */
const withWallClock = <A, E, R>(body: (set: (by: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let offset = 0
    const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + offset
    const wall: Clock.Clock = {
      ...clock,
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
    }
    return yield* Effect.provideService(
      body((by) => void (offset += by)),
      Clock.Clock,
      wall
    )
  })

describe.each([
  ["an hour back", -hour],
  ["an hour forward", hour]
])("a wall clock that is set %s", (_, by) => {
  it.effect("leaves an open circuit open for its time", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: boom }, { answer: ready }])
        const breaker = Resilience.circuitBreaker({ tripPolicy: Breaker.consecutive(1) })
        const accounts = yield* breaker.make(script.accounts)
        yield* Effect.flip(accounts.refresh(id))
        set(by)
        yield* TestClock.adjust("14 seconds")
        const error = yield* Effect.flip(accounts.refresh(id))
        assert.strictEqual(error._tag, "RefusedLocally")
        yield* TestClock.adjust("1 second")
        assertSame(yield* accounts.refresh(id), ready)
      })
    )
  )

  for (const algorithm of ["token-bucket", "fixed-window"] as const) {
    it.effect(`leaves a used-up limit used up for its time: ${algorithm}`, () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const script = scripted([{ answer: ready }])
          const limit = Resilience.rateLimit({ algorithm, limit: 2, window: "10 seconds", maxDelay: 0 })
          const accounts = yield* limit.make(script.accounts)
          yield* accounts.refresh(id)
          yield* accounts.refresh(id)
          set(by)
          assert.strictEqual((yield* Effect.flip(accounts.refresh(id)))._tag, "RefusedLocally")
          yield* TestClock.adjust("20 seconds")
          assertSame(yield* accounts.refresh(id), ready)
        })
      )
    )
  }

  it.effect("leaves a flight shared", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const script = scripted([{ takes: 5_000, answer: ready }])
        const accounts = yield* Resilience.coalesce().make(script.accounts)
        const first = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
        set(by)
        const second = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assertSame(yield* Fiber.join(first), ready)
        assertSame(yield* Fiber.join(second), ready)
        assert.lengthOf(script.sends, 1)
      })
    )
  )

  it.effect("lets nobody join a flight that hangs, once its time is over", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const script = scripted([{ answer: "hang" }, { answer: ready }])
        const accounts = yield* Resilience.coalesce().make(script.accounts)
        yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
        set(by)
        yield* TestClock.adjust("31 seconds")
        const second = yield* Effect.forkChild(accounts.refresh(id), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(second.pollUnsafe(), Exit.succeed(ready))
      })
    )
  )
})
