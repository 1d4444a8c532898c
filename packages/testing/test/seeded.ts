/**
 * Chance in every test of the workspace comes from a seed: each test draws the same whatever runs before it, and a failure says the seed.
 * `REKINDLE_SEED=7 pnpm test` draws others.
 *
 * **Gotchas**
 *
 * `Math.random` is what is seeded, since Effect's `Random` and other libraries draw from it. Secrets and ids come from `crypto` and stay
 * as random as they are.
 *
 * @module
 */
import { Effect, Random } from "effect"
import { beforeEach } from "vitest"

const seed = process.env["REKINDLE_SEED"] ?? "1"

/** What a test of this name draws, one after the other. */
const chanceOf = (test: string): (() => number) => {
  const random = Effect.runSync(Random.withSeed(Effect.service(Random.Random), `${seed} ${test}`))
  return () => random.nextDoubleUnsafe()
}

// for what a file draws before its first test
Math.random = chanceOf("")

beforeEach(({ onTestFailed, task }) => {
  Math.random = chanceOf(task.fullName)
  onTestFailed(() => console.error(`Chance was REKINDLE_SEED=${seed}`))
})
