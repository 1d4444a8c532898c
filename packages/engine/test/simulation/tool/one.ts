/**
 * Runs one world and tells its story. A world that fails is reduced first.
 *
 * @module
 */
import type { Simulation } from "@rekindle/testing"
import { Effect, Schema } from "effect"
import { faults } from "../faults.ts"
import { plant } from "../plant.ts"
import * as Report from "./report.ts"

/** A world that is given by its seed and its faults, as it is printed. */
const Plan = Schema.fromJsonString(
  Schema.Struct({
    seed: Schema.Int,
    faults: Schema.Array(
      Schema.Struct({ site: Schema.String, at: Schema.Int, what: Schema.String, amount: Schema.Number })
    ),
    sizes: Schema.Record(Schema.String, Schema.Int)
  })
)

const planText = ({ faults, seed, sizes }: Simulation.Outcome) => JSON.stringify({ seed, sizes, faults })

/** Runs the world of a seed or of a plan, with planted faults or without. */
export const runOne = ({
  fault: names,
  plan,
  seed = 0
}: {
  readonly seed: number | undefined
  readonly plan: string | undefined
  readonly fault: ReadonlyArray<string>
}) =>
  Effect.gen(function* () {
    for (const fault of faults) if (names.includes(fault.name)) plant(fault)
    // After the faults are planted.
    const { run } = yield* Effect.promise(() => import("./world.ts"))
    const settings: Simulation.Settings =
      plan === undefined ? { seed } : yield* Effect.orDie(Schema.decodeEffect(Plan)(plan))
    const outcome = yield* Effect.promise(() => run(settings))
    const again = yield* Effect.promise(() => run(settings))
    const isSame = again.fingerprint === outcome.fingerprint && again.failure?.message === outcome.failure?.message
    const { failure, fingerprint, sizes, steps, story, time } = outcome
    const ok = failure === undefined && isSame
    return {
      ok,
      value: {
        seed: outcome.seed,
        steps,
        time,
        fingerprint,
        isSame,
        sizes,
        faults: outcome.faults,
        story,
        failure: failure === undefined ? null : { kind: failure.kind, name: failure.name, message: failure.message }
      },
      text: [
        Report.storyText(outcome),
        "",
        Report.endText(outcome),
        ...(isSame ? [] : ["a second run of this world went another way: something in it is not decided by the seed"]),
        ...(failure === undefined
          ? []
          : [
              "",
              `repeat it: ${Report.commandOf(settings, names)}`,
              `reduced:   pnpm simulate --plan '${planText(outcome)}'`
            ])
      ].join("\n")
    }
  })
