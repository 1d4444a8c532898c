import { assert, describe, it } from "@effect/vitest"
import { ExpiringMap } from "#core/resilience/ExpiringMap.ts"

describe("ExpiringMap", () => {
  it("returns an entry until it expires", () => {
    const map = new ExpiringMap<{ until: number }>()
    const entry = { until: 10 }
    map.set("a", entry, 0)
    assert.strictEqual(map.get("a", 9), entry)
    assert.isUndefined(map.get("a", 10))
    entry.until = 11
    assert.strictEqual(map.get("a", 10), entry)
    assert.isUndefined(map.get("b", 0))
  })

  it("holds at most about twice its live entries", () => {
    const map = new ExpiringMap(4)
    let most = 0
    for (let now = 0; now < 10_000; now++) {
      map.set(String(now), { until: now + 10 }, now)
      most = Math.max(most, map.size)
    }
    assert.isAtMost(most, 21)
  })

  it("visits each entry only a few times", () => {
    const map = new ExpiringMap(4)
    let looks = 0
    const entry = {
      get until() {
        looks++
        return Infinity
      }
    }
    for (let key = 0; key < 10_000; key++) map.set(String(key), entry, 0)
    assert.isAtMost(looks, 20_000)
  })

  it("removes no entry that has not expired", () => {
    const map = new ExpiringMap(2)
    for (let key = 0; key < 100; key++) map.set(String(key), { until: 1_000 }, key)
    for (let key = 0; key < 100; key++) assert.isDefined(map.get(String(key), 999))
  })
})
