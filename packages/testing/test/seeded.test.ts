import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Random, Schema } from "effect"

const seedOf = (test: string) => `${process.env["REKINDLE_SEED"] ?? "1"} ${test}`

describe("chance in tests", () => {
  it.effect("is drawn from the seed and the name of the test", ({ task }) =>
    Effect.gen(function* () {
      const drawn = [yield* Random.next, Math.random(), yield* Random.next]
      const expected = Effect.all([Random.next, Random.next, Random.next])
      assert.deepStrictEqual(drawn, yield* Random.withSeed(expected, seedOf(task.fullName)))
    })
  )

  it.effect("is drawn from them for arbitrary values too", ({ task }) =>
    Effect.gen(function* () {
      const values = Arbitrary.sampleEffect(Arbitrary.schema(Schema.String), { count: 20 })
      assert.deepStrictEqual(yield* values, yield* Random.withSeed(values, seedOf(task.fullName)))
    })
  )
})
