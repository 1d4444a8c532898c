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
import { Console, Data, Effect, Option } from "effect"
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
  seeds: some("seeds").pipe(Flag.withDescription("Runs this many worlds; by default 1,000"), Flag.optional),
  from: Flag.Int("from").pipe(Flag.withDescription("The first seed; by default 0"), Flag.optional),
  jobs: some("jobs").pipe(Flag.withDescription("How many processes; by default one for each core"), Flag.optional),
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
    Flag.withDescription("How many worlds each planted fault gets; by default 20,000"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Prints one JSON object"), Flag.withDefault(false))
}

/** What the tool can do, by the flag that asks for it, with the flags that say more about it. */
const ways = {
  "--plan": [],
  "--seed": [],
  "--faults": ["--from", "--at-most", "--jobs"],
  "--seeds": ["--from", "--jobs"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

/** Two flags of which one would do nothing. */
class Unused extends Data.TaggedError("Unused")<{ readonly message: string }> {}

/** Fails if a flag was given that says nothing about what was asked for. */
const checkUse = (way: keyof typeof ways, given: Readonly<Record<string, boolean>>): Effect.Effect<void, Unused> => {
  const used: ReadonlyArray<string> = [way, ...ways[way]]
  const unused = Object.keys(given).find((flag) => given[flag] === true && !used.includes(flag))
  return unused === undefined
    ? Effect.void
    : Effect.fail(new Unused({ message: `${unused} does nothing together with ${way}` }))
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
    const isSearch = faults || fault.length > 0
    yield* checkUse(
      Option.isSome(plan) ? "--plan" : Option.isSome(seed) ? "--seed" : isSearch ? "--faults" : "--seeds",
      {
        "--seed": Option.isSome(seed),
        "--faults": faults,
        "--seeds": Option.isSome(seeds),
        "--from": Option.isSome(from),
        "--at-most": Option.isSome(atMost),
        "--jobs": Option.isSome(jobs)
      }
    )
    const parts = {
      from: Option.getOrElse(from, () => 0),
      jobs: Option.getOrElse(jobs, availableParallelism)
    }
    const one = Option.orElse(plan, () => Option.map(seed, (seed) => ({ seed })))
    if (Option.isSome(one)) {
      const { ok, text, value } = yield* runOne(one.value, fault)
      yield* Console.log(json ? JSON.stringify(value) : text)
      return yield* setExit(ok)
    }
    if (isSearch) {
      const onFault = json
        ? () => {}
        : (searched: Parameters<typeof Report.searchedLine>[0]) =>
            process.stderr.write(`${Report.searchedLine(searched)}\n`)
      const searched = yield* searchFaults({
        ...parts,
        names: fault,
        atMost: Option.getOrElse(atMost, () => 20_000),
        onFault
      })
      yield* Console.log(
        json
          ? JSON.stringify(searched.map(({ fault: { name }, found, seeds }) => ({ fault: name, seeds, found })))
          : Report.searchedTable(searched)
      )
      return yield* setExit(searched.every(({ found }) => found !== undefined))
    }
    const line = progressLine()
    const figures = yield* runMany({
      ...parts,
      seeds: Option.getOrElse(seeds, () => 1_000),
      onPart: line.show
    }).pipe(
      Effect.ensuring(Effect.sync(line.end)),
      Effect.onInterrupt(() => Console.error("Stopped. The same command goes on where this one was."))
    )
    yield* Console.log(json ? JSON.stringify(figures) : Report.manyText(figures))
    return yield* setExit(figures.failed.length === 0)
  })
).pipe(Command.withDescription("Runs the engine in simulated worlds"))

Command.run(simulate, { version: "" }).pipe(
  Effect.catchIf(CliError.isCliError, () => Effect.sync(() => void (process.exitCode = usage))),
  Effect.catchTag(["NotKept", "Unused"], ({ message }) =>
    Effect.andThen(
      Console.error(message),
      Effect.sync(() => void (process.exitCode = usage))
    )
  ),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
