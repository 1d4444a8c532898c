/** Requests that share batches. */
import { assert, describe, it } from "@effect/vitest"
import { gather, InBackground } from "#engine/store/gather.ts"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { rest } from "../support/ScriptedEngine.ts"

/** A slow database: a batch does not end until it is released. */
const slow = Effect.gen(function* () {
  const released = yield* Deferred.make<void>()
  const batches: Array<ReadonlyArray<number>> = []
  const ask = gather<number, number, never>((members) =>
    Effect.suspend(() => {
      batches.push(members.map(({ input }) => input))
      return Effect.as(Deferred.await(released), Effect.void).pipe(
        Effect.tap(() => Effect.sync(() => members.forEach(({ answer, input }) => answer(Exit.succeed(input)))))
      )
    })
  )
  return { ask, batches, release: Deferred.succeed(released, undefined) }
})

describe("requests that are gathered", () => {
  it.effect("leave at once when none is out, and together when one is", () =>
    Effect.gen(function* () {
      const { ask, batches, release } = yield* slow
      const asked = yield* Effect.forkChild(Effect.forEach([1, 2, 3], ask, { concurrency: "unbounded" }))
      yield* rest
      const more = yield* Effect.forkChild(Effect.forEach([4, 5], ask, { concurrency: "unbounded" }))
      yield* rest
      yield* release
      assert.deepStrictEqual(
        [yield* Fiber.join(asked), yield* Fiber.join(more)],
        [
          [1, 2, 3],
          [4, 5]
        ]
      )
      assert.deepStrictEqual(batches, [[1], [2, 3, 4, 5]])
    })
  )

  it.effect("in the background leave callers the connections of a slow database: one batch is out at a time", () =>
    Effect.gen(function* () {
      const { ask, batches, release } = yield* slow
      const asking = Effect.fnUntraced(function* (inBackground: boolean, first: number) {
        for (let n = first; n < first + 10; n++) {
          yield* Effect.forkChild(Effect.provideService(ask(n), InBackground, inBackground))
          yield* rest
          yield* TestClock.adjust("150 millis")
        }
        yield* rest
      })
      yield* asking(true, 100)
      assert.lengthOf(batches, 1)
      yield* asking(false, 200)
      // A caller's batch is sent beside it, and waits for no other batch for long.
      assert.isAbove(batches.filter(([first]) => (first ?? 0) >= 200).length, 5)
      yield* release
    })
  )
})
