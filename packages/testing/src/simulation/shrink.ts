/**
 * Reduces a failed run to fewer faults and smaller sizes with which it still fails in the same way.
 *
 * Faults are removed by delta debugging (Zeller and Hildebrandt, Simplifying and isolating failure-inducing input, IEEE TSE 2002): halves
 * first, then quarters, down to single faults. Without a fault that does not matter, everything happens at another time, so that the failure
 * may be missed by chance. In the end each attempt is therefore made in several schedules.
 *
 * @module
 */
import type { FaultPlan } from "./faults.ts"

/** One of the schedules of a seed, or the calm one. */
export type Schedule = number | "calm"

/** What a run is repeated with. */
export interface Plan {
  readonly seed: number
  readonly schedule: Schedule
  readonly faults: FaultPlan
  readonly sizes: Readonly<Record<string, number>>
}

interface Reducible extends Plan {
  readonly failure: { readonly kind: string; readonly name: string } | undefined
}

const others: ReadonlyArray<Schedule> = ["calm", 1, 2, 3, 4, 5, 6, 7, 8]

/** Reduces a run, which has failed, by running it again with other settings. Stops after `maxRuns`. */
export const shrink = async <A extends Reducible>(
  failed: A,
  again: (plan: Plan) => Promise<A>,
  maxRuns: number
): Promise<A> => {
  let best = failed
  let runs = 0

  /** Whether the run still fails like this with what is changed. Then it is the best so far. */
  const fails = async (change: Partial<Plan>, schedules: ReadonlyArray<Schedule>): Promise<boolean> => {
    const { faults, schedule, seed, sizes } = best
    for (const each of new Set([change.schedule ?? schedule, ...schedules])) {
      if (runs >= maxRuns) return false
      runs++
      const tried = await again({ seed, faults, sizes, ...change, schedule: each })
      if (tried.failure?.kind !== failed.failure?.kind || tried.failure?.name !== failed.failure?.name) continue
      best = tried
      return true
    }
    return false
  }

  const withFewerFaults = async (schedules: ReadonlyArray<Schedule>): Promise<void> => {
    if (best.faults.length === 0 || (await fails({ faults: [] }, schedules))) return
    for (let parts = 2; best.faults.length > 1;) {
      const { faults } = best
      const length = Math.ceil(faults.length / parts)
      let isSmaller = false
      for (let start = 0; start < faults.length && !isSmaller; start += length) {
        isSmaller = await fails({ faults: [...faults.slice(0, start), ...faults.slice(start + length)] }, schedules)
      }
      if (isSmaller) parts = Math.max(2, parts - 1)
      else if (length === 1) return
      else parts = Math.min(faults.length, parts * 2)
    }
  }

  /** Halves each size as far as it goes. The world raises a size below its least. */
  const withSmallerSizes = async (schedules: ReadonlyArray<Schedule>): Promise<void> => {
    for (const name of Object.keys(best.sizes)) {
      for (let low = 0; low < (best.sizes[name] ?? 0);) {
        const size = Math.floor((low + (best.sizes[name] ?? 0)) / 2)
        if (!(await fails({ sizes: { ...best.sizes, [name]: size } }, schedules))) low = size + 1
        else if ((best.sizes[name] ?? 0) > size) break
      }
    }
  }

  if (!(await fails({}, []))) return failed
  for (const schedules of [[], others]) {
    if (best.schedule !== "calm") await fails({ schedule: "calm" }, [])
    await withFewerFaults(schedules)
    await withSmallerSizes(schedules)
  }
  await withFewerFaults(others)
  return best
}
