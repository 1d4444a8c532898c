/**
 * Reduces a failed run: to the simplest schedule, the fewest faults and the smallest sizes with which it still fails in the same way.
 *
 * Faults are removed by delta debugging (Zeller and Hildebrandt, Simplifying and isolating failure-inducing input, IEEE TSE 2002): halves
 * first, then quarters, down to single faults, so that many are removed in few runs, and the rest is minimal: without any one of them the run
 * does not fail like this.
 *
 * @module
 */
import type { FaultPlan } from "./faults.ts"

/** What is reduced. */
export interface Reducible {
  readonly seed: number
  readonly calm: boolean
  readonly faults: FaultPlan
  readonly sizes: Readonly<Record<string, number>>
  readonly steps: number
  readonly failure: { readonly kind: string; readonly name: string } | undefined
}

/** Reduces a run, which has failed, by running it again in smaller worlds. Stops after `maxRuns`. */
export const shrink = async <A extends Reducible>(
  failed: A,
  again: (settings: Pick<Reducible, "seed" | "calm" | "faults" | "sizes">) => Promise<A>,
  maxRuns: number
): Promise<A> => {
  let best = failed
  let runs = 0

  /** Whether the run still fails like this. Then it is the best so far. */
  const fails = async (change: Partial<Pick<Reducible, "calm" | "faults" | "sizes">>): Promise<boolean> => {
    if (runs >= maxRuns) return false
    runs++
    const { calm, faults, seed, sizes } = best
    const tried = await again({ seed, calm, faults, sizes, ...change })
    if (tried.failure?.kind !== failed.failure?.kind || tried.failure?.name !== failed.failure?.name) return false
    best = tried
    return true
  }

  const withFewerFaults = async (): Promise<void> => {
    if (best.faults.length === 0 || (await fails({ faults: [] }))) return
    for (let parts = 2; best.faults.length > 1;) {
      const { faults } = best
      const length = Math.ceil(faults.length / parts)
      let isSmaller = false
      for (let start = 0; start < faults.length && !isSmaller; start += length) {
        isSmaller = await fails({ faults: [...faults.slice(0, start), ...faults.slice(start + length)] })
      }
      if (isSmaller) parts = Math.max(2, parts - 1)
      else if (length === 1) return
      else parts = Math.min(faults.length, parts * 2)
    }
  }

  /** A size below its least is raised to it by the world. */
  const withSmallerSizes = async (): Promise<void> => {
    for (const name of Object.keys(best.sizes)) {
      for (let low = 0; low < (best.sizes[name] ?? 0);) {
        const size = Math.floor((low + (best.sizes[name] ?? 0)) / 2)
        if (!(await fails({ sizes: { ...best.sizes, [name]: size } }))) low = size + 1
        else if ((best.sizes[name] ?? 0) > size) break
      }
    }
  }

  /** A calm node takes fewer steps, so a fault of its later steps may not strike. Fewer faults may then be calm again. */
  const withCalm = async (): Promise<void> => {
    if (!best.calm) await fails({ calm: true })
  }

  if (!(await fails({}))) return failed
  await withCalm()
  await withFewerFaults()
  await withSmallerSizes()
  await withCalm()
  await withFewerFaults()
  return best
}
