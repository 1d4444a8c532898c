/**
 * The world that the tool runs. Stand-in until the engine's world is there.
 *
 * @module
 */
import { Simulation } from "@rekindle/testing"
import { Effect } from "effect"

/** Runs one world. */
export const run = (settings: Simulation.Settings): Promise<Simulation.Outcome> =>
  Simulation.run({ faults: { kill: 0.01 }, ...settings }, (world) =>
    Effect.gen(function* () {
      const node = world.node("a", () => Effect.sync(() => ({ add: Effect.sleep("1 second") })))
      world.invariant("the seed is no multiple of 300", () => (world.seed % 300 === 299 ? "it is one" : undefined))
      for (let index = 0; index < 5; index++) yield* Effect.ignore(node.call(({ add }) => add))
    })
  )
