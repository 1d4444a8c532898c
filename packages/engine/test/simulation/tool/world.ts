/**
 * The world that the tool runs.
 *
 * @module
 */
import type { Simulation } from "@rekindle/testing"
import * as EngineWorld from "../EngineWorld.ts"

/** Runs one world. */
export const run = ({ seed, ...options }: Simulation.Settings): Promise<Simulation.Outcome> =>
  EngineWorld.run(seed, options)
