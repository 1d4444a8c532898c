/**
 * What a world is asked for that makes no sense, such as a rate of 3 or a node with a name that is taken. It fails the run, so that a test with
 * such a mistake never passes.
 *
 * @module
 */
import { Duration, Option, Schema } from "effect"
import type { FaultPlan, FaultRates } from "./faults.ts"
import type { Schedule } from "./shrink.ts"

/** Thrown where a world is used in a way that makes no sense. */
export class Misuse extends Schema.TaggedError<Misuse>()("Misuse", { message: Schema.String }) {}

/** What {@link wrongWith} looks at. */
interface Checked {
  readonly seed: number
  readonly schedule?: Schedule | undefined
  readonly faults?: FaultRates | FaultPlan | undefined
  readonly sizes?: Readonly<Record<string, number>> | undefined
  readonly maxSteps?: number | undefined
  readonly maxTime?: Duration.Input | undefined
}

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value)
const isShare = (value: number): boolean => value >= 0 && value <= 1

const wrongFaults = (faults: FaultRates | FaultPlan): string | undefined => {
  if (!Array.isArray(faults)) {
    const [rate] = Object.entries(faults).filter(([, rate]) => !isShare(rate))
    return rate && `the rate of ${rate[0]} is ${rate[1]}, and has to be from 0 to 1`
  }
  const plan: FaultPlan = faults
  const fault = plan.find(({ amount, at }) => !isShare(amount) || !isWhole(at) || at < 0)
  return (
    fault &&
    `a fault has an \`at\` that is a whole number from 0 on, and an \`amount\` from 0 to 1: ${JSON.stringify(fault)}`
  )
}

/** What is wrong with the settings of a run. Undefined if nothing is. */
export const wrongWith = ({ faults, maxSteps, maxTime, schedule, seed, sizes }: Checked): string | undefined => {
  if (!isWhole(seed)) return `the seed is ${seed}, and has to be a whole number`
  if (schedule !== undefined && schedule !== "calm" && !isWhole(schedule)) {
    return `the schedule is ${schedule}, and has to be a whole number or "calm"`
  }
  if (maxSteps !== undefined && !(maxSteps >= 1)) return `maxSteps is ${maxSteps}, and has to be 1 or more`
  if (maxTime !== undefined && !Option.exists(Duration.fromInput(maxTime), Duration.isPositive)) {
    return `maxTime is ${JSON.stringify(maxTime)}, and has to be a time, such as "1 hour"`
  }
  for (const [name, size] of Object.entries(sizes ?? {})) {
    if (!isWhole(size)) return `the size ${name} is ${size}, and has to be a whole number`
  }
  return wrongFaults(faults ?? {})
}

/** The bounds of a size. */
export const checkSize = (name: string, min: number, max: number): void => {
  if (isWhole(min) && isWhole(max) && min <= max) return
  throw new Misuse({
    message: `the size ${name} is from ${min} to ${max}, and these have to be whole numbers in order`
  })
}
