/**
 * Some hundred worlds, each of its own kind. `pnpm simulate` runs as many as you like.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "@rekindle/testing"
import * as EngineWorld from "./EngineWorld.ts"
import { largest } from "./Mix.ts"
import { dangers } from "./Reached.ts"

/** Runs worlds from a seed on, and returns what they reached. */
const runAll = async (from: number, count: number, sizes?: Readonly<Record<string, number>>) => {
  const reached = new Set<string>()
  for (let seed = from; seed < from + count; seed++) {
    const outcome = await EngineWorld.run(seed, { sizes })
    assert.isUndefined(outcome.failure, Simulation.report(outcome))
    for (const danger of Object.keys(outcome.reached)) reached.add(danger)
  }
  return reached
}

const missing = (wanted: ReadonlyArray<string>, ...reached: ReadonlyArray<ReadonlySet<string>>) =>
  wanted.filter((danger) => !reached.some((set) => set.has(danger)))

describe("the engine in simulated worlds", () => {
  it("loses no token, spends none twice, keeps every deadline and recovers, in worlds that are as dangerous as can be", async () => {
    const worlds = await runAll(0, 150)
    // A circuit opens when several accounts of one provider meet a fault.
    const several = { "accounts of p0": 5, "ran out at p0": 5 }
    const large = await runAll(1000, 25, { extent: largest.extent, operator: 1, people: 1, ...several })
    assert.deepStrictEqual(missing(dangers, worlds, large), [])
  })

  it("does so on SQLite, whichever statement fails, and whichever the process ends before or after", async () => {
    const reached = await runAll(2000, 12, { sqlite: largest.sqlite })
    assert.deepStrictEqual(missing(["sqlite-full", "sqlite-io", "sqlite-kill", "sqlite-kill-after"], reached), [])
  })
})
