/**
 * Runs planted faults until the invariants find them.
 *
 * @module
 */
import { Effect } from "effect"
import { faults, type PlantedFault } from "../faults.ts"
import { makeWorker, type Worker } from "./workers.ts"

/** What became of one planted fault. */
export interface Searched {
  readonly fault: PlantedFault
  /** How many seeds were run until it was found. Undefined if it was not. */
  readonly seeds: number | undefined
  /** The seed that found it, and what was wrong there. */
  readonly found: { readonly seed: number; readonly name: string; readonly message: string } | undefined
}

/** The seeds that are run before the process is asked for more. Most faults are found by one of the first. */
const firstPart = 50
const largestPart = 500

/** Runs one fault. A seed that fails without the fault too does not count. */
const search = (
  fault: PlantedFault,
  { atMost, clean, from }: { readonly from: number; readonly atMost: number; readonly clean: Worker }
): Effect.Effect<Searched> =>
  Effect.gen(function* () {
    const run = yield* makeWorker(fault.name)
    const end = from + atMost
    let size = firstPart
    for (let at = from; at < end; size = Math.min(2 * size, largestPart)) {
      const { failed, range } = yield* run({ range: [at, Math.min(at + size, end)], stopsAtFirst: true })
      at = range[1]
      const [found] = failed
      if (found === undefined) continue
      const without = yield* clean({ range: [found.seed, found.seed + 1], stopsAtFirst: true })
      if (without.failed.length === 0) return { fault, seeds: found.seed + 1 - from, found }
    }
    return { fault, seeds: undefined, found: undefined }
  }).pipe(Effect.scoped, Effect.orDie)

/** Runs planted faults, several at a time. `onFault` gets each result as it comes. */
export const searchFaults = ({
  jobs,
  names,
  onFault,
  ...bounds
}: {
  /** All if empty. */
  readonly names: ReadonlyArray<string>
  readonly from: number
  readonly atMost: number
  readonly jobs: number
  readonly onFault: (searched: Searched) => void
}): Effect.Effect<ReadonlyArray<Searched>> =>
  Effect.gen(function* () {
    const spare: Array<Worker> = []
    const wanted = faults.filter(({ name }) => names.length === 0 || names.includes(name))
    return yield* Effect.forEach(
      wanted,
      Effect.fnUntraced(function* (fault) {
        // Each search in progress has a process without faults beside it.
        const clean = spare.pop() ?? (yield* makeWorker())
        const searched = yield* search(fault, { ...bounds, clean })
        spare.push(clean)
        onFault(searched)
        return searched
      }),
      { concurrency: jobs }
    )
  }).pipe(Effect.scoped)
