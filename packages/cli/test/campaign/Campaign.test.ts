import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId, RateLimited, Unauthorized } from "@rekindle/core"
import { Clock, Duration, Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import * as Campaign from "#cli/campaign/Campaign.ts"

const members = (provider: string, count: number, options: { readonly hasCredential?: boolean } = {}) =>
  Array.from({ length: count }, (_, index): Campaign.Member => ({
    account: {
      id: ConnectedAccountId.make(`ca_${provider}${String(index).padStart(4, "0")}`),
      status: "ACTIVE",
      authConfig: { id: provider }
    },
    hasCredential: options.hasCredential ?? true,
    provider: { name: provider, requestsPerSecond: provider === "slowpoke" ? 2 : 20 }
  }))

/** Notes when each call was made, in milliseconds since the start. */
const timed = () => {
  const calls: Array<number> = []
  return {
    calls,
    call: () => Effect.map(Clock.currentTimeMillis, (now) => void calls.push(now))
  }
}
const nothing = () => Effect.void

describe("a campaign", () => {
  it.effect("sends to each provider at its own pace, and to all of them side by side", () =>
    Effect.gen(function* () {
      const { call, calls } = timed()
      const fiber = yield* Effect.forkChild(
        Campaign.run([...members("slowpoke", 4), ...members("sprinter", 20)], call, nothing)
      )
      yield* TestClock.adjust("999 millis")
      assert.lengthOf(calls, 2 + 20)
      yield* TestClock.adjust("501 millis")
      yield* Fiber.join(fiber)
      assert.lengthOf(calls, 4 + 20)
    })
  )

  it.effect("keeps its pace when the wall clock is set back", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let behind = 0
      const wall = () => clock.currentTimeMillisUnsafe() - behind
      const setBack: Clock.Clock = { ...clock, currentTimeMillisUnsafe: wall, currentTimeMillis: Effect.sync(wall) }
      const { call, calls } = timed()
      const fiber = yield* Effect.forkChild(
        Campaign.run(members("slowpoke", 30), call, nothing).pipe(Effect.provideService(Clock.Clock, setBack))
      )
      yield* TestClock.adjust("4 seconds")
      behind = 3_600_000
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(fiber)
      assert.lengthOf(calls, 30)
    })
  )

  it.effect("does not pace accounts that ask nothing of a provider", () =>
    Effect.gen(function* () {
      const { call, calls } = timed()
      yield* Campaign.run(members("slowpoke", 100, { hasCredential: false }), call, nothing)
      assert.lengthOf(calls, 100)
    })
  )

  it.effect("waits as long as a busy server asks for, and goes on", () =>
    Effect.gen(function* () {
      let refusals = 2
      const ends: Array<number> = []
      const fiber = yield* Effect.forkChild(
        Campaign.run(
          members("sprinter", 1),
          () =>
            refusals-- > 0
              ? Effect.fail(new RateLimited({ message: "slow down", retryAfter: Duration.seconds(10) }))
              : Effect.void,
          () => Effect.map(Clock.currentTimeMillis, (now) => void ends.push(now))
        )
      )
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("9 seconds")
      assert.deepEqual(ends, [])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepEqual(ends, [20_000])
    })
  )

  it.effect("stops at a failure that every account would meet", () =>
    Effect.gen(function* () {
      let calls = 0
      const result = yield* Effect.result(
        Campaign.run(
          members("sprinter", 1000),
          () => Effect.suspend(() => (calls++, Effect.fail(new Unauthorized({ message: "the key is unknown" })))),
          nothing
        )
      )
      assert.isTrue(Result.isFailure(result))
      assert.isBelow(calls, 20)
    })
  )
})
