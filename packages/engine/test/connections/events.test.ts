/** The events of accounts, as a stream that can be resumed. */
import { assert, describe, it } from "@effect/vitest"
import { Connections, CurrentProject } from "@rekindle/core"
import { AccountStore } from "@rekindle/engine"
import { Effect, Fiber, Stream } from "effect"
import { connected, elapse, refresh, scenario } from "../support/ScriptedEngine.ts"

const all = (after?: number) =>
  Effect.flatMap(Connections, ({ events }) => Stream.runCollect(events({ after, follow: false })))

describe("the events of a project", () => {
  it.effect("come to a reader that waits, and those that were there before come first", () =>
    Effect.gen(function* () {
      const { events } = yield* Connections
      const { id } = yield* connected()
      yield* refresh(id)
      const waiting = yield* Effect.forkChild(Stream.runCollect(Stream.take(events(), 2)))
      yield* elapse("5 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* refresh(id)
      yield* elapse("2 seconds")
      const told = yield* Fiber.join(waiting)
      assert.deepStrictEqual(
        told.map(({ accountId, status, type }) => ({ accountId, status, type })),
        Array.from({ length: 2 }, () => ({ accountId: id, status: "ACTIVE", type: "renewed" }))
      )
    }).pipe(scenario())
  )

  it.effect("that are deleted are reported as missed to a reader that returns for them, and to no other", () =>
    Effect.gen(function* () {
      const { events } = yield* Connections
      const { id } = yield* connected()
      for (let time = 0; time < 3; time++) yield* refresh(id)
      const [first, second, third] = yield* all()
      const store = yield* AccountStore
      yield* store.trimOutbox(second?.sequence ?? 0)
      const missed = yield* Effect.flip(Stream.runDrain(events({ after: first?.sequence ?? 0, follow: false })))
      assert.strictEqual(missed._tag === "EventsMissed" ? missed.through : missed._tag, second?.sequence)
      assert.deepStrictEqual(yield* all(second?.sequence), [third])
      assert.deepStrictEqual(yield* all(), [third])
    }).pipe(scenario())
  )

  it.effect("are no other project's", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* refresh(id)
      assert.lengthOf(yield* all(), 1)
      assert.lengthOf(yield* Effect.provideService(all(), CurrentProject, "another"), 0)
    }).pipe(scenario())
  )
})
