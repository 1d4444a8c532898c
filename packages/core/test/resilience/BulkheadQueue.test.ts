import { Resilience } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scheduler } from "effect"
import { id, ready } from "./script.ts"

/** The first call waits for `gate`; every later one ends as it begins. */
const gated = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  let sends = 0
  const accounts: Resilience.Accounts = {
    refresh: () =>
      Effect.suspend(() => (++sends === 1 ? Effect.as(Deferred.await(gate), ready) : Effect.succeed(ready))),
    get: () => Effect.never
  }
  return { accounts, gate, sends: () => sends }
})

describe("the queue of a bulkhead", () => {
  it.effect("does not grow the stack with calls that end synchronously", () =>
    Effect.gen(function* () {
      const { accounts, gate } = yield* gated
      const bulkhead = yield* Resilience.bulkhead({ concurrency: 1, queue: 20_000 }).make(accounts)
      const crowd = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 20_001 }, () => bulkhead.refresh(id)),
          { concurrency: "unbounded" }
        ),
        { startImmediately: true }
      )
      yield* Deferred.succeed(gate, undefined)
      assert.lengthOf(yield* Fiber.join(crowd), 20_001)
    })
  )

  it.effect("passes on a place that was given to a caller who left at the same moment", () =>
    Effect.gen(function* () {
      const { accounts, gate, sends } = yield* gated
      const bulkhead = yield* Resilience.bulkhead({ concurrency: 1, queue: 2 }).make(accounts)
      const start = Effect.forkChild(bulkhead.refresh(id), { startImmediately: true })
      const [holder, leaving, next] = [yield* start, yield* start, yield* start]
      Deferred.doneUnsafe(gate, Effect.void)
      leaving.interruptUnsafe()
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(leaving)))
      assert.deepStrictEqual([yield* Fiber.join(holder), yield* Fiber.join(next)], [ready, ready])
      assert.strictEqual(sends(), 2)
      // Neither lost nor doubled: the place is free, and it is one.
      assert.deepStrictEqual(yield* bulkhead.refresh(id), ready)
    })
  )

  it("moves by the scheduler alone, so that it does not stand still where no promise is waited for", () => {
    const tasks: Array<() => void> = []
    const scheduler = new Scheduler.MixedScheduler("async", (task) => {
      tasks.push(task)
      return () => {}
    })
    const crowd = Effect.gen(function* () {
      const accounts = { refresh: () => Effect.as(Effect.yieldNow, ready), get: () => Effect.never }
      const bulkhead = yield* Resilience.bulkhead({ concurrency: 1, queue: 2 }).make(accounts)
      const calls = Array.from({ length: 3 }, () => bulkhead.refresh(id))
      return yield* Effect.all(calls, { concurrency: "unbounded" })
    })
    const fiber = Effect.runFork(Effect.scoped(crowd), { scheduler })
    for (const task of tasks) task()
    assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed([ready, ready, ready]))
  })
})
