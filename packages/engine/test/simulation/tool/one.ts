/**
 * Runs one world and tells its story. A world that fails is reduced first.
 *
 * @module
 */
import { Simulation } from "@rekindle/testing"
import { Effect, Schema } from "effect"
import { faults } from "../faults.ts"
import { plant } from "../plant.ts"
import { planCommand, seedCommand } from "./report.ts"

/** A reduced world, as it is printed. */
export const Plan = Schema.fromJsonString(
  Schema.Struct({
    seed: Schema.Int,
    schedule: Schema.Union([Schema.Int, Schema.Literal("calm")]),
    sizes: Schema.Record(Schema.String, Schema.Int),
    faults: Schema.Array(
      Schema.Struct({ site: Schema.String, at: Schema.Int, what: Schema.String, amount: Schema.Number })
    )
  })
)

/** What a world came to, as text and as a value. */
export interface Told {
  readonly ok: boolean
  readonly text: string
  readonly value: object
}

/** Runs a world, with planted faults or without. */
export const runOne = (settings: Simulation.Settings, planted: ReadonlyArray<string>): Effect.Effect<Told> =>
  Effect.promise(async () => {
    for (const fault of faults) if (planted.includes(fault.name)) plant(fault)
    // After the faults are planted.
    const { run } = await import("./world.ts")
    const outcome = await run(settings)
    const again = await run(settings)
    const isSame = again.fingerprint === outcome.fingerprint && again.failure?.message === outcome.failure?.message
    const reduced = outcome.failure === undefined ? outcome : await Simulation.shrink(outcome, run)
    const { failure, schedule, sizes, steps, story, time } = reduced
    return {
      ok: failure === undefined && isSame,
      text: [
        Simulation.report(reduced),
        ...(outcome.failure === undefined
          ? []
          : [
              "",
              `reduced from ${outcome.faults.length} faults to ${reduced.faults.length}, and from ${outcome.steps} steps to ${steps}`,
              `the whole world:   ${seedCommand(settings.seed, planted)}`,
              `the reduced world: ${planCommand(reduced, planted)}`
            ]),
        ...(isSame ? [] : ["", "A second run went another way: something in this world is not decided by the seed."])
      ].join("\n"),
      value: {
        seed: settings.seed,
        fingerprint: outcome.fingerprint,
        isSame,
        failure: failure === undefined ? null : { kind: failure.kind, name: failure.name, message: failure.message },
        schedule,
        sizes,
        faults: reduced.faults,
        steps,
        time,
        story
      }
    }
  })
