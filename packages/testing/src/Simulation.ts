/**
 * Deterministic simulation: a program of several nodes runs in one world, and a number decides everything that happens there.
 *
 * A world has a scheduler, clocks, chance and a network of its own. Nothing in it takes real time, and a seed gives the same
 * world every time: which task runs next, after how many operations it is preempted, how long a message travels, what goes wrong and when. A
 * failure is a value that holds the seed and the faults, so that anybody can run it again.
 *
 * ```ts
 * import assert from "node:assert/strict"
 * import { Simulation } from "@rekindle/testing"
 * import { Effect } from "effect"
 *
 * const outcome = await Simulation.run({ seed: 7 }, (world) =>
 *   Effect.gen(function* () {
 *     let count = 0
 *     const counter = world.node("counter", () => Effect.succeed({ add: Effect.sync(() => ++count) }))
 *     yield* Effect.sleep("1 hour")
 *     return yield* counter.call(({ add }) => add)
 *   })
 * )
 * assert.equal(outcome.value, 1)
 * ```
 *
 * **Gotchas**
 *
 * Only code that takes time, chance and crypto from Effect's `Clock`, `Random` and `WebCrypto` can be simulated. A promise of the real world, such
 * as that of a file, gets one turn of the event loop whenever the world rests. One that takes longer comes at another step in each run, or the run
 * is `stalled`. What follows an `await` inside of such a promise is not in a step, so no tripwire sees it.
 *
 * @module
 */
import { Cause, Duration, Effect, Exit, type Scope } from "effect"
import { WallClock } from "./simulation/clock.ts"
import { type Fault, type FaultPlan, type FaultRates } from "./simulation/faults.ts"
import { checkSize, Misuse, wrongWith } from "./simulation/misuse.ts"
import { Network } from "./simulation/network.ts"
import { type Machine, type Node, type NodeOptions, SimulatedNode } from "./simulation/node.ts"
import { current } from "./simulation/process.ts"
import { servicesOf } from "./simulation/services.ts"
import { shrink as reduce } from "./simulation/shrink.ts"
import * as Tripwires from "./simulation/tripwires.ts"
import { Waiting } from "./simulation/waiting.ts"
import { Core, type Failure, type StoryLine } from "./simulation/world.ts"

export type { WallClock } from "./simulation/clock.ts"
export { type Disk, DiskError, type DiskFile, type DiskLock } from "./simulation/disk.ts"
export type { Fault, FaultPlan, FaultRates } from "./simulation/faults.ts"
export { Misuse } from "./simulation/misuse.ts"
export { NetworkError } from "./simulation/network.ts"
export type { Machine, Node, NodeOptions } from "./simulation/node.ts"
export type { Failure, StoryLine } from "./simulation/world.ts"

/** Which world to run. An {@link Outcome} can be given as it is, and runs again. */
export interface Settings {
  /** A whole number, which may be negative. It decides everything that the other settings leave open. */
  readonly seed: number
  /** How often each kind of fault strikes, from 0 to 1, or the faults themselves. Default none. See {@link usual}. */
  readonly faults?: FaultRates | FaultPlan | undefined
  /**
   * Which of the schedules that the seed has. Default 0. In the one named `calm`, tasks are taken in their order and hardly preempted, and steps
   * take no time: what fails there is no matter of the order of steps.
   */
  readonly schedule?: number | "calm" | undefined
  /** Sizes by name, instead of those that the seed gives. See {@link World.size}. */
  readonly sizes?: Readonly<Record<string, number>> | undefined
  /** The world fails if its program has not ended by then. Default 100,000. */
  readonly maxSteps?: number | undefined
  /** In time of the world. Default 30 days. */
  readonly maxTime?: Duration.Input | undefined
  /**
   * Whether the world waits for promises of the real world whenever it rests. Default true. A world that does not runs in one go and is faster.
   * What waits for a promise in it stands still.
   */
  readonly promises?: boolean | undefined
  /** Whether the run fails if a step uses time, chance, timers, sockets or threads of the real world. Default true. */
  readonly tripwires?: boolean | undefined
}

/** What a run came to. */
export interface Outcome<A = unknown> {
  readonly seed: number
  readonly schedule: number | "calm"
  /** The faults that struck. */
  readonly faults: FaultPlan
  /** Kinds of faults with a rate that no site of the world has: of sites that it did not reach, or misspelt. */
  readonly unknownFaults: ReadonlyArray<string>
  readonly sizes: Readonly<Record<string, number>>
  readonly steps: number
  /** How much time has passed in the world, in milliseconds. */
  readonly time: number
  readonly story: ReadonlyArray<StoryLine>
  /** A hash of every step. Two runs with the same fingerprint have done the same. */
  readonly fingerprint: number
  /** What the program returned. Undefined if the run failed. */
  readonly value: A | undefined
  readonly failure: Failure | undefined
}

/** A world, for the program that runs in it. */
export interface World {
  readonly seed: number
  /** Milliseconds since the world began. No clock of a node moves it. */
  readonly now: () => number
  /** How often everything there was to do had been done, and time went on. */
  readonly rests: () => number
  /**
   * A whole number from `min` to `max`, both included, that the seed gives, such as how many nodes there are. Shrinking makes it smaller. The
   * same name gives the same number again. Throws {@link Misuse} if the bounds are not whole numbers in order.
   */
  readonly size: (name: string, min: number, max: number) => number
  /**
   * Makes a node and starts its program. The program returns the service that {@link Node.call} reaches, and then lives on until the node is
   * stopped or killed. Each life runs it anew, so what it makes itself is lost with it. What lives as long as the machine is made outside of it.
   * A program that dies fails the run. A fiber that it forked and that dies adds a line to the story, and does not fail the run. Throws
   * {@link Misuse} if the name is taken, empty, or `world`.
   */
  readonly node: <S>(
    name: string,
    program: (machine: Machine) => Effect.Effect<S, never, Scope.Scope>,
    options?: NodeOptions
  ) => Node<S>
  /** From now on nothing passes between two nodes for a while. A call between them is never answered. */
  readonly partition: (one: Machine, other: Machine, lasts: Duration.Input) => Effect.Effect<void>
  /** Asks whether a fault of the application's own kinds strikes here. The kinds of a site are those of the first time. */
  readonly fault: (site: string, kinds: ReadonlyArray<string>) => Fault | undefined
  /** Checked after every step. What it returns, unless undefined, is what is wrong, and fails the run. */
  readonly invariant: (name: string, check: () => string | undefined) => void
  /** Waits until `holds` returns true. It is asked after every step. Fails the run if that does not come within a time of the world. */
  readonly until: (name: string, within: Duration.Input, holds: () => boolean) => Effect.Effect<void>
  /** Adds a line to the story. */
  readonly note: (what: string) => void
  /** No fault strikes from now on, and what faults have done so far is mended: nodes run, messages pass, wall clocks are right. */
  readonly heal: Effect.Effect<void>
}

/** Rates for a first try: each kind of fault that the library knows strikes now and then. A world has about half of the kinds. */
export const usual: FaultRates = {
  kill: 0.003,
  "power-loss": 0.001,
  freeze: 0.005,
  "clock-jump": 0.003,
  refuse: 0.01,
  "drop-request": 0.01,
  "drop-answer": 0.01,
  duplicate: 0.01,
  delay: 0.02,
  partition: 0.003,
  "disk-full": 0.005,
  "disk-slow": 0.01,
  "disk-torn": 0.005,
  "disk-fails": 0.005
}

/** Runs a program in a world of its own, until it ends or fails. The promise is never rejected. */
export const run = async <A, E>(
  settings: Settings,
  program: (world: World) => Effect.Effect<A, E, Scope.Scope>
): Promise<Outcome<A>> => {
  const wrong = wrongWith(settings)
  if (wrong !== undefined) return refused(settings, wrong)
  const outcome = await runWorld(settings, program)
  if (outcome.failure?.kind !== "stalled") return outcome
  // Once more, to tell who waits for what.
  const waiting = new Waiting()
  const unfollow = waiting.followPromises()
  const again = await runWorld(settings, program, waiting).finally(unfollow)
  if (again.fingerprint !== outcome.fingerprint) return outcome
  const message = [outcome.failure.message, ...waiting.describe()].join("\n")
  return { ...outcome, failure: { ...outcome.failure, message } }
}

/** The outcome of settings that make no sense. */
const refused = ({ schedule = 0, seed }: Settings, message: string): Outcome<never> => ({
  seed,
  schedule,
  faults: [],
  unknownFaults: [],
  sizes: {},
  steps: 0,
  time: 0,
  story: [],
  fingerprint: 0,
  value: undefined,
  failure: { kind: "misuse", name: "settings", message, step: 0 }
})

const runWorld = async <A, E>(
  settings: Settings,
  program: (world: World) => Effect.Effect<A, E, Scope.Scope>,
  waiting?: Waiting
): Promise<Outcome<A>> => {
  const schedule = settings.schedule ?? 0
  const bounds = {
    maxSteps: settings.maxSteps ?? 100_000,
    maxTime: Duration.toMillis(settings.maxTime ?? "30 days"),
    promises: settings.promises ?? true
  }
  const core = new Core(settings.seed, settings.faults ?? {}, bounds, schedule)
  core.waiting = waiting
  const outside = core.makeProcess({ name: "world", beforeStep: () => true })
  const network = new Network(core, outside)
  const nodes = new Array<{ readonly name: string; readonly heal: () => void }>()
  const sizes: Record<string, number> = {}
  let value: A | undefined

  const world: World = {
    seed: settings.seed,
    now: () => core.now,
    rests: () => core.rests,
    size: (name, min, max) => {
      checkSize(name, min, max)
      sizes[name] ??= Math.max(min, Math.min(settings.sizes?.[name] ?? core.sizeOf(name, min, max), max))
      return sizes[name]
    },
    node: (name, program, options = {}) => {
      if (nodes.some((node) => node.name === name)) throw new Misuse({ message: `there is a node ${name} already` })
      if (name === "" || name === "world") throw new Misuse({ message: `no node can have the name "${name}"` })
      const node = new SimulatedNode(core, network, outside, name, program, options)
      nodes.push(node)
      return node
    },
    partition: (one, other, lasts) =>
      Effect.sync(() => {
        core.note(one.name, `is cut off from ${other.name}`)
        network.cut(one.name, other.name, Duration.toMillis(lasts))
      }),
    fault: (site, kinds) => core.faults.site(site, kinds).strike(),
    invariant: (name, check) => {
      core.watches.add({
        check: () => {
          const wrong = check()
          if (wrong !== undefined) core.fail({ kind: "invariant", name, message: wrong })
        }
      })
    },
    until: (name, within, holds) =>
      Effect.callback((resume) => {
        const late = core.startTimer(Duration.toMillis(within), outside, () =>
          core.fail({
            kind: "liveness",
            name,
            message: `did not come within ${Duration.format(Duration.fromInputUnsafe(within))}`
          })
        )
        const watch = {
          check: () => {
            if (!holds()) return
            stop()
            core.push(outside, () => resume(Effect.void))
          }
        }
        const stop = () => {
          late.stopped = true
          core.watches.delete(watch)
        }
        core.watches.add(watch)
        return Effect.sync(stop)
      }),
    note: (what) => core.note(current()?.owner.name ?? "world", what),
    heal: Effect.sync(() => {
      core.note("world", "is healed")
      core.faults.stop()
      network.heal()
      for (const node of nodes) node.heal()
    })
  }

  const main = Effect.runForkWith(servicesOf(core, outside, new WallClock(), 0))(
    Effect.scoped(Effect.suspend(() => program(world)))
  )
  main.addObserver((exit) => {
    core.ended = true
    if (Exit.isSuccess(exit)) value = exit.value
    else core.failWith("world", exit.cause)
  })
  const takeAway = settings.tripwires === false ? () => {} : Tripwires.set()
  try {
    await core.run()
  } finally {
    takeAway()
  }
  return {
    seed: settings.seed,
    schedule,
    faults: core.faults.struck,
    unknownFaults: core.faults.unknown(),
    sizes,
    steps: core.steps,
    time: core.now,
    story: core.story,
    fingerprint: core.fingerprint,
    value: core.failure === undefined ? value : undefined,
    failure: core.failure
  }
}

/**
 * Reduces a failed run to fewer faults, to smaller sizes and to a calm schedule, as long as it fails in the same way, that is with a failure of the
 * same kind and name. `again` runs the same program with other settings, at most `maxRuns` times.
 */
export const shrink = <A>(
  failed: Outcome<A>,
  again: (settings: Settings) => Promise<Outcome<A>>,
  { maxRuns = 1000 }: { readonly maxRuns?: number | undefined } = {}
): Promise<Outcome<A>> => reduce(failed, again, maxRuns)

/** The line where a program failed, as far as it is known. */
const lineOfCause = (cause: Cause.Cause<unknown> | undefined): ReadonlyArray<string> => {
  const error = cause && Cause.squash(cause)
  return error instanceof Error && error.stack !== undefined ? [`in ${Tripwires.lineOf(error.stack)}`] : []
}

/** A run as text: what happened on which node, one line each, what the failure was, and the settings that repeat it. */
export const report = (outcome: Outcome): string => {
  const { failure, faults, schedule, seed, sizes, steps, story, time, unknownFaults } = outcome
  const nodes = [...new Set(story.map(({ node }) => node))]
  const width = Math.max(0, ...nodes.map((node) => node.length + 2 * nodes.indexOf(node)))
  const lines = story.map(({ node, step, time, what }) =>
    [
      `${(time / 1000).toFixed(3).padStart(12)} s`,
      `#${step}`.padStart(7),
      ("  ".repeat(nodes.indexOf(node)) + node).padEnd(width),
      what.replaceAll(/\s*\n\s*/g, " ")
    ].join("  ")
  )
  return [
    ...lines,
    "",
    `${steps} steps, ${(time / 1000).toFixed(3)} s in the world: ${failure === undefined ? "nothing failed" : `${failure.kind} "${failure.name}" failed`}`,
    ...(failure === undefined ? [] : [failure.message, ...lineOfCause(failure.cause)]),
    ...unknownFaults.map((kind) => `no site of this world has the fault ${kind}`),
    `repeat it with ${JSON.stringify({ seed, schedule, sizes, faults })}`
  ].join("\n")
}

/** Which worlds a test runs, and within which bounds. */
export interface TestOptions extends Omit<Settings, "seed"> {
  /** How many seeds, 1 or more. Default 100. */
  readonly seeds?: number | undefined
  /** The first seed. Default 0. */
  readonly from?: number | undefined
}

/** What {@link makeMethods} adds to `it`. */
export interface Methods {
  /**
   * A test that runs a program in many worlds. The first that fails is reduced, and its report is the message of the test. A rate of a kind that
   * no world had fails the test too, since it is most likely misspelt.
   *
   * `timeout` is in milliseconds of the real world. Default none, since each world has its bounds: a test that is stopped in the middle of the
   * reduction would not tell which seed failed.
   */
  readonly simulate: (
    name: string,
    options: TestOptions,
    program: (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>,
    timeout?: number
  ) => void
}

/**
 * Adds `it.simulate` to the `it` of vitest or `@effect/vitest`.
 *
 * ```
 * const it = Simulation.makeMethods(effectIt)
 * it.simulate("no update is lost", { seeds: 300, faults: { kill: 0.01 } }, (world) => …)
 * ```
 */
export const makeMethods = <It extends (name: string, test: () => Promise<void>, timeout?: number) => void>(
  it: It
): It & Methods =>
  Object.assign(it, {
    simulate: (
      name: string,
      { from = 0, seeds = 100, ...settings }: TestOptions,
      program: (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>,
      timeout = 0
    ) =>
      it(
        name,
        async () => {
          if (!(seeds >= 1)) throw new Misuse({ message: `seeds is ${seeds}, and has to be 1 or more` })
          let unknown: ReadonlyArray<string> | undefined
          for (let seed = from; seed < from + seeds; seed++) {
            const failed = await run({ ...settings, seed }, program)
            if (failed.failure === undefined) {
              unknown = failed.unknownFaults.filter((kind) => unknown?.includes(kind) ?? true)
              continue
            }
            if (failed.failure.kind === "misuse") throw new Misuse({ message: failed.failure.message })
            const repeated = await run({ ...settings, seed }, program)
            if (repeated.fingerprint !== failed.fingerprint) {
              throw new Error(`seed ${seed} fails, and is not the same in a second run\n\n${report(failed)}`)
            }
            const shrunk = await shrink(failed, (fewer) => run({ ...settings, ...fewer }, program))
            const { cause } = shrunk.failure ?? {}
            throw new Error(`seed ${seed} fails\n\n${report(shrunk)}`, { cause: cause && Cause.squash(cause) })
          }
          if (unknown !== undefined && unknown.length > 0) {
            throw new Misuse({
              message: `no world has a site with the fault ${unknown.join(", ")}: is it spelt right?`
            })
          }
        },
        timeout
      )
  })
