import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open, version } from "./progress.ts"
import { add, count, missing, parts, type Range } from "./ranges.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const Pair = Schema.Tuple([upTo(60), upTo(20)])
const rangeOf = ([from, size]: typeof Pair.Type): Range => [from, from + size]

const seedsOf = (ranges: ReadonlyArray<Range>) =>
  ranges.flatMap(([from, end]) => Array.from({ length: end - from }, (_, index) => from + index))

describe("ranges of seeds", () => {
  it.prop("are the sets that they stand for", [Schema.Array(Pair), Pair, upTo(6)], ([pairs, pair, spare]) => {
    const added = pairs.map(rangeOf)
    const asked = rangeOf(pair)
    const ranges = added.reduce<ReadonlyArray<Range>>(add, [])
    const all = new Set(seedsOf(added))
    assert.deepStrictEqual(
      seedsOf(ranges),
      [...all].sort((one, other) => one - other)
    )
    assert.strictEqual(count(ranges), all.size)
    const left = missing(ranges, asked)
    assert.deepStrictEqual(
      seedsOf(left),
      seedsOf([asked]).filter((seed) => !all.has(seed))
    )
    const size = spare + 1
    assert.deepStrictEqual(seedsOf(parts(left, size)), seedsOf(left))
    assert.isTrue(parts(left, size).every(([from, end]) => end > from && end - from <= size))
  })

  it("are kept in a file for each version, with the seeds that failed", () => {
    const folder = mkdtempSync(join(tmpdir(), "rekindle-progress-"))
    try {
      const failed = { seed: 7, name: "an invariant", message: "did not hold" }
      Effect.runSync(open("one", folder).add([0, 100], [failed]))
      Effect.runSync(open("one", folder).add([200, 300], []))
      Effect.runSync(open("one", folder).add([100, 200], []))
      Effect.runSync(open("other", folder).add([0, 1], []))
      assert.deepStrictEqual(open("one", folder).read(), { ran: [[0, 300]], failed: [failed] })
      assert.strictEqual(version(), version())
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
