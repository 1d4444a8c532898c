/**
 * Reduces a failed run to fewer faults, smaller sizes and fewer steps with which it still fails in the same way.
 *
 * Faults are removed by delta debugging (Zeller and Hildebrandt, Simplifying and isolating failure-inducing input, IEEE TSE 2002): halves
 * first, then quarters, down to single faults. But without a fault that does not matter everything happens at another time, and what does
 * matter may just be missed. In the end attempts are therefore made in several schedules, and each fault is tried alone and earlier.
 *
 * @module
 */
import type { Fault, FaultPlan } from "./faults.ts"

/** One of the schedules of a seed, or the calm one. */
export type Schedule = number | "calm"

/** What a run is repeated with. */
export interface Plan {
  readonly seed: number
  readonly schedule: Schedule
  readonly faults: FaultPlan
  readonly sizes: Readonly<Record<string, number>>
  /** A run that goes on for much longer than the shortest one that failed is not waited for. */
  readonly maxSteps?: number | undefined
}

interface Reducible extends Plan {
  readonly steps: number
  readonly failure: { readonly kind: string; readonly name: string } | undefined
}

const few: ReadonlyArray<Schedule> = ["calm", 1, 2, 3, 4]
const many: ReadonlyArray<Schedule> = ["calm", ...Array.from({ length: 24 }, (_, index) => index + 1)]

/** How many steps an attempt may take, compared to the shortest run that failed. Most of those that do not fail would go on for long. */
const longer = 4

/** Reduces a run, which has failed, by running it again with other settings. Stops after `maxRuns`. */
export const shrink = async <A extends Reducible>(
  failed: A,
  again: (plan: Plan) => Promise<A>,
  maxRuns: number
): Promise<A> => {
  let best = failed
  let runs = 0
  const isEndless = failed.failure?.kind === "endless"

  /** Whether the run still fails like this with what is changed, in fewer than `steps`. Then it is the best so far. */
  const fails = async (
    change: Partial<Plan>,
    schedules: ReadonlyArray<Schedule>,
    steps = Number.POSITIVE_INFINITY
  ): Promise<boolean> => {
    const { faults, schedule, seed, sizes } = best
    for (const each of new Set([change.schedule ?? schedule, ...schedules])) {
      if (runs >= maxRuns) return false
      runs++
      const plan = { seed, faults, sizes, ...change, schedule: each }
      const tried = await again(isEndless ? plan : { ...plan, maxSteps: Math.max(1000, longer * best.steps) })
      if (tried.failure?.kind !== failed.failure?.kind || tried.failure?.name !== failed.failure?.name) continue
      if (tried.steps >= steps) continue
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

  /** A size below the least of its world is raised to it. */
  const withSmallerSizes = async (schedules: ReadonlyArray<Schedule>): Promise<void> => {
    for (const [name, size] of Object.entries(best.sizes)) {
      for (let less = 0; less < size; less += Math.ceil((less + 1) / 4)) {
        if (await fails({ sizes: { ...best.sizes, [name]: less } }, schedules)) break
      }
    }
  }

  const withOneFault = async (): Promise<void> => {
    if (best.faults.length < 2) return
    for (const fault of best.faults) if (await fails({ faults: [fault] }, many)) return
  }

  /** Faults that strike earlier or are milder, if that makes the run shorter. */
  const withEarlierFaults = async (): Promise<void> => {
    for (let place = 0; place < best.faults.length; place++) {
      const changed = (change: (fault: Fault) => Partial<Fault>) => ({
        faults: best.faults.map((fault, index) => (index === place ? { ...fault, ...change(fault) } : fault))
      })
      for (const share of [0, 1 / 16, 1 / 8, 1 / 4, 1 / 2]) {
        if (
          await fails(
            changed(({ at }) => ({ at: Math.floor(at * share) })),
            few,
            best.steps
          )
        )
          break
      }
      for (const share of [1 / 2, 3 / 4, 7 / 8]) {
        if (
          await fails(
            changed(({ amount }) => ({ amount: amount * share })),
            few,
            best.steps
          )
        )
          break
      }
    }
  }

  if (!(await fails({}, []))) return failed
  await fails({ schedule: "calm" }, [])
  await withFewerFaults([])
  await withSmallerSizes([])
  for (let before: A | undefined; before !== best;) {
    before = best
    await withFewerFaults(few)
    await withOneFault()
    await withSmallerSizes(few)
    await withEarlierFaults()
  }
  return best
}
