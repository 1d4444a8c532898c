/**
 * `node part.ts [fault]`, started by {@link "./workers.ts"}: runs worlds in a process of its own, with a planted fault or without. It ends with
 * the process that started it.
 *
 * @module
 */
import { faults } from "../faults.ts"
import { plant } from "../plant.ts"
import type { Asked, Said } from "./workers.ts"

const [name] = process.argv.slice(2)
if (name !== undefined) {
  const fault = faults.find((fault) => fault.name === name)
  if (fault === undefined) throw new Error(`there is no fault ${name}`)
  plant(fault)
}
// Stacks cost time and decide nothing. Whoever wants one runs the seed alone.
Error.stackTraceLimit = 0
// After the fault is planted.
const { run } = await import("./world.ts")

const say = (said: Said): void => void process.send?.(said)

/** Whoever presses Ctrl-C means the process that started this one, which then ends it. */
process.on("SIGINT", () => {})
process.on("disconnect", () => process.exit())

const runAll = async ({ range: [from, end], stopsAtFirst }: Asked): Promise<void> => {
  for (let seed = from; seed < end; seed++) {
    say({ _tag: "Began", seed })
    const { failure, steps } = await run({ seed })
    const failed =
      failure === undefined ? undefined : { name: `${failure.kind}: ${failure.name}`, message: failure.message }
    say({ _tag: "Ran", seed, steps, failed })
    if (failed !== undefined && stopsAtFirst) break
  }
  say({ _tag: "Done" })
}

process.on("message", (asked: Asked) => void runAll(asked))
say({ _tag: "Done" })
