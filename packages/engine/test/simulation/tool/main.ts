/**
 * `pnpm simulate`: runs the engine in simulated worlds.
 *
 * - `--seed 7` runs one world and tells its story. A world that fails is reduced first.
 * - `--seeds 100000` runs many, in parts, in processes of their own. A run that is stopped goes on with the same command.
 * - `--faults` runs each planted fault until it is found. `--fault <name>` runs this one only; with `--seed`, in that world.
 *
 * It exits with 0 if all is well, with 1 if a world failed or a fault was not found, and with 2 if it was called in a wrong way or cannot keep its
 * progress.
 *
 * @module
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Option } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { availableParallelism } from "node:os"
import { faults } from "../faults.ts"
import { type Figures, runMany } from "./many.ts"
import { Plan, runOne } from "./one.ts"
import * as Report from "./report.ts"
import { searchFaults } from "./search.ts"

/** The exit codes. */
const failed = 1
const usage = 2

/** A number of things, one of them at least. */
const some = (name: string) =>
  Flag.Int(name).pipe(
    Flag.filter(
      (given) => given >= 1,
      () => "1 or more"
    )
  )

const flags = {
  seed: Flag.Int("seed").pipe(Flag.withDescription("Runs this world and tells its story"), Flag.optional),
  plan: Flag.String("plan").pipe(
    Flag.withDescription("Runs a reduced world, as --seed printed it"),
    Flag.withSchema(Plan),
    Flag.optional
  ),
  seeds: some("seeds").pipe(Flag.withDescription("Runs this many worlds"), Flag.withDefault(1_000)),
  from: Flag.Int("from").pipe(Flag.withDescription("The first seed"), Flag.withDefault(0)),
  jobs: some("jobs").pipe(
    Flag.withDescription("How many processes; by default one for each core"),
    Flag.withDefault(availableParallelism())
  ),
  faults: Flag.Boolean("faults").pipe(
    Flag.withDescription("Runs each planted fault until it is found"),
    Flag.withDefault(false)
  ),
  fault: Flag.String("fault").pipe(
    Flag.withDescription("Runs this planted fault; may be repeated"),
    Flag.filter(
      (given) => faults.some(({ name }) => name === given),
      () => "a name in packages/engine/test/simulation/faults.ts"
    ),
    Flag.atLeast(0)
  ),
  atMost: some("at-most").pipe(
    Flag.withDescription("How many worlds each planted fault gets"),
    Flag.withDefault(20_000)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Prints one JSON object"), Flag.withDefault(false))
}

const setExit = (ok: boolean) => Effect.sync(() => void (process.exitCode = ok ? 0 : failed))

/** Says on standard error how a run goes: on a terminal in one line, elsewhere now and then. */
const progressLine = () => {
  let saidAt = Date.now()
  return {
    show: (figures: Figures) => {
      const now = Date.now()
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${Report.progressOf(figures)}`)
      else if (now - saidAt >= 30_000) {
        saidAt = now
        process.stderr.write(`${Report.progressOf(figures)}\n`)
      }
    },
    end: () => {
      if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
    }
  }
}

const simulate = Command.make(
  "simulate",
  flags,
  Effect.fnUntraced(function* ({ atMost, fault, faults, from, jobs, json, plan, seed, seeds }) {
    const one = Option.orElse(plan, () => Option.map(seed, (seed) => ({ seed })))
    if (Option.isSome(one)) {
      const { ok, text, value } = yield* runOne(one.value, fault)
      yield* Console.log(json ? JSON.stringify(value) : text)
      return yield* setExit(ok)
    }
    if (faults || fault.length > 0) {
      const onFault = json
        ? () => {}
        : (searched: Parameters<typeof Report.searchedLine>[0]) =>
            process.stderr.write(`${Report.searchedLine(searched)}\n`)
      const searched = yield* searchFaults({ names: fault, from, atMost, jobs, onFault })
      yield* Console.log(
        json
          ? JSON.stringify(searched.map(({ fault: { name }, found, seeds }) => ({ fault: name, seeds, found })))
          : Report.searchedTable(searched)
      )
      return yield* setExit(searched.every(({ found }) => found !== undefined))
    }
    const line = progressLine()
    const figures = yield* runMany({ from, seeds, jobs, onPart: line.show }).pipe(
      Effect.ensuring(Effect.sync(line.end)),
      Effect.onInterrupt(() => Console.error("Stopped. The same command goes on where this one was."))
    )
    yield* Console.log(json ? JSON.stringify(figures) : Report.manyText(figures))
    return yield* setExit(figures.failed.length === 0)
  })
).pipe(Command.withDescription("Runs the engine in simulated worlds"))

Command.run(simulate, { version: "" }).pipe(
  Effect.catchIf(CliError.isCliError, () => Effect.sync(() => void (process.exitCode = usage))),
  Effect.catchTag("NotKept", ({ message }) =>
    Effect.andThen(
      Console.error(message),
      Effect.sync(() => void (process.exitCode = usage))
    )
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
