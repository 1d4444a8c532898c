/** Answers that come after the time limit of their request. */
import { MonotonicClock } from "@rekindle/core"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { noAnswer } from "#engine/answer/Verdict.ts"
import { makeLateAnswers } from "#engine/renewal/lateAnswers.ts"

describe("an overdue request", () => {
  /** Whether an answer is kept that is read some milliseconds after its request was passed on, which is `left` before its time is over. */
  const keeps = (left: number, readAfter: number) =>
    Effect.gen(function* () {
      const lateAnswers = yield* makeLateAnswers(Duration.seconds(1))
      let kept = false
      const overdue = lateAnswers((yield* MonotonicClock.millis) + left, () =>
        Effect.sync(() => Option.some((kept = true)))
      )
      overdue.takeOver(yield* Effect.forkChild(Effect.delay(Effect.succeed(noAnswer("late")), readAfter)))
      yield* TestClock.adjust("1 minute")
      return kept
    }).pipe(Effect.scoped)

  it.effect("is followed until its time is over", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* keeps(10_000, 9_000))
      assert.isFalse(yield* keeps(10_000, 11_000))
    })
  )

  it.effect("whose time is over when the process goes on after a stall has its answer read all the same", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* keeps(-5_000, 10))
      assert.isFalse(yield* keeps(-5_000, 1_000))
    })
  )
})
