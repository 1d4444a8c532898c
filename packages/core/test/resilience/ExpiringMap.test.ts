import { assert, describe, it } from "@effect/vitest"
import { ExpiringMap } from "#core/resilience/ExpiringMap.ts"

describe("a map that forgets", () => {
  it("gives an entry until its time has come", () => {
    const map = new ExpiringMap<{ until: number }>()
    const entry = { until: 10 }
    map.set("a", entry, 0)
    assert.strictEqual(map.get("a", 9), entry)
    assert.isUndefined(map.get("a", 10))
    entry.until = 11
    assert.strictEqual(map.get("a", 10), entry)
    assert.isUndefined(map.get("b", 0))
  })

  it("holds about twice what it has to at most, however many keys come by", () => {
    const map = new ExpiringMap(4)
    let most = 0
    for (let now = 0; now < 10_000; now++) {
      map.set(String(now), { until: now + 10 }, now)
      most = Math.max(most, map.size)
    }
    assert.isAtMost(most, 21)
  })

  it("looks at each entry a few times only, however many there are", () => {
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

  it("loses nothing that is not past its time", () => {
    const map = new ExpiringMap(2)
    for (let key = 0; key < 100; key++) map.set(String(key), { until: 1_000 }, key)
    for (let key = 0; key < 100; key++) assert.isDefined(map.get(String(key), 999))
  })
})
