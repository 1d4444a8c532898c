import { assert, describe, it } from "@effect/vitest"
import { keepNewest } from "#engine/account/keepNewest.ts"

describe("a map that is bounded", () => {
  it("drops the oldest entry; an entry that is kept again counts as new", () => {
    const map = new Map<string, number>()
    for (const [value, key] of ["a", "b", "c", "a", "d"].entries()) keepNewest(map, key, value, 3)
    assert.deepStrictEqual(
      [...map],
      [
        ["c", 2],
        ["a", 3],
        ["d", 4]
      ]
    )
  })
})
