/** Token buckets by name: their rate, and how many names they remember. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Throttle from "#cli/keys/Throttle.ts"

it.effect("a name has its burst, and then its rate", () =>
  Effect.gen(function* () {
    const { take, wait } = Throttle.make({ burst: 4, per: "2 seconds" })
    for (let taken = 0; taken < 4; taken++) {
      assert.isUndefined(yield* wait("a"))
      assert.isUndefined(yield* take("a"))
    }
    assert.strictEqual(Duration.toMillis((yield* take("a")) ?? 0), 500)
    assert.isUndefined(yield* take("b"))
    yield* TestClock.adjust("499 millis")
    assert.strictEqual(Duration.toMillis((yield* wait("a")) ?? 0), 1)
    yield* TestClock.adjust("1 millis")
    assert.isUndefined(yield* take("a"))
    assert.isDefined(yield* take("a"))
    yield* TestClock.adjust("1 hour")
    for (let taken = 0; taken < 4; taken++) assert.isUndefined(yield* take("a"))
    assert.isDefined(yield* take("a"))
  })
)

it.effect("names that anybody may choose do not fill the memory, and those in use are forgotten last", () =>
  Effect.gen(function* () {
    const { size, take, wait } = Throttle.make({ burst: 30, per: "1 hour" }, 100)
    for (let name = 0; name < 300; name++) {
      yield* take(`new ${name}`)
      if (name % 10 === 0) yield* take("busy")
    }
    assert.isAtMost(size(), 100)
    assert.isDefined(yield* wait("busy"))
    yield* TestClock.adjust("1 hour")
    for (let name = 0; name < 100; name++) yield* take(`later ${name}`)
    assert.isAtMost(size(), 100)
  })
)
