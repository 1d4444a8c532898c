/**
 * Faults that strike at the moments that matter: when a process has just taken a lease, when it has just read an answer, and when that answer
 * comes late. Faults that strike at any step meet these moments rarely, because they are a few steps among thousands.
 *
 * @module
 */
import type { Simulation } from "@rekindle/testing"
import { Effect } from "effect"
import type { Fact } from "./Facts.ts"

/** What an ambush needs of its world. */
export interface Surroundings {
  readonly world: Simulation.World
  readonly nodeOf: (name: string) => Simulation.Machine | undefined
  /** Another node than this one. Undefined if there is none. */
  readonly besides: (name: string) => Simulation.Machine | undefined
  /** The account that a request is for. */
  readonly accountOf: (request: number) => string
  /** Another account than this one: which one of them, from 0 to 1. Undefined if there is none. */
  readonly another: (account: string, which: number) => string | undefined
  /** Whether a request had reached its time limit by then. */
  readonly isOverdue: (request: number, at: number) => boolean
  /** Somebody asks a node for a refresh. */
  readonly ask: (node: string, account: string) => Effect.Effect<void>
  /** Cuts a node off from the store. */
  readonly cut: (node: string, millis: number) => void
  /** Holds up the next write of a node to the store. */
  readonly holdUp: (node: string, millis: number) => void
  /** The store refuses what a node commits, and everything else goes on: a table is locked, or a right is missing. */
  readonly refuseCommits: (node: string, millis: number) => void
  /** The disk of a node takes long with its next flush. */
  readonly slowFlush: (node: string, millis: number) => void
  /** Runs an effect as work of the world itself, which no fault of a node ends. */
  readonly run: (effect: Effect.Effect<void>) => void
  /** How long a lease holds, and when faults stop, in milliseconds. */
  readonly lease: number
  readonly until: number
}

const afterLease = [
  "freeze-with-lease",
  "kill-with-lease",
  "clock-jump-with-lease",
  "clock-jump-beside-lease",
  "reboot-with-lease"
]
const afterAnswer = [
  "freeze-with-answer",
  "kill-with-answer",
  "store-cut-with-answer",
  "commit-slow-with-answer",
  "commits-refused-with-answer",
  "flush-slow-with-answer",
  "killed-in-slow-commit"
]
const afterLateAnswer = ["commit-slow-with-late-answer"]

const between = (amount: number, min: number, max: number): number => min * (max / min) ** amount

/** Makes an ambush: it is told each fact. */
export const make = (given: Surroundings) => {
  const { accountOf, another, ask, besides, cut, holdUp, lease, nodeOf, refuseCommits, run, until, world } = given

  const strike = (node: Simulation.Machine, account: string, { amount, what }: Simulation.Fault): void => {
    // One number says when it strikes, for how long, and how much.
    const [when, long, much] = [(amount * 16) % 1, amount, (amount * 256) % 1]
    const start = (effect: Effect.Effect<void>, delay: number) =>
      run(
        Effect.suspend(() => (world.now() < until && node.isRunning() ? effect : Effect.void)).pipe(Effect.delay(delay))
      )
    switch (what) {
      case "freeze-with-lease":
      case "freeze-with-answer": {
        const thaw = Effect.delay(node.thaw, between(long, lease / 4, 1.5 * lease))
        return start(Effect.andThen(node.freeze, thaw), between(when, 0.1, 500))
      }
      case "kill-with-lease":
      case "kill-with-answer": {
        const restart = Effect.delay(node.restart, between(long, 1, 2 * lease))
        return start(Effect.andThen(node.kill, restart), between(when, 0.1, 500))
      }
      case "clock-jump-with-lease":
      case "clock-jump-beside-lease": {
        const jumping = what === "clock-jump-with-lease" ? node : besides(node.name)
        if (jumping === undefined) return undefined
        return start(
          Effect.sync(() => {
            jumping.wallClock.skew += (when < 0.5 ? 1 : -1) * between(long, lease / 4, 4 * lease)
          }),
          between(when, 0.1, 500)
        )
      }
      case "reboot-with-lease": {
        // The clock of a machine that boots is behind until it has asked for the time.
        const boot = Effect.andThen(
          Effect.sync(() => {
            if (world.now() < until) node.wallClock.skew -= between(much, lease, 8 * lease)
          }),
          node.restart
        )
        const back = Effect.andThen(Effect.delay(boot, between(long, 1, lease / 2)), Effect.sleep(500 * much))
        return start(Effect.andThen(node.kill, Effect.andThen(back, ask(node.name, account))), between(when, 0.1, 500))
      }
      case "killed-in-slow-commit": {
        const millis = between(when, 50, lease / 2)
        holdUp(node.name, millis)
        // Others are renewed meanwhile.
        const other = another(account, much)
        if (other !== undefined) start(ask(node.name, other), 0)
        const restart = Effect.delay(node.restart, between(long, 1, 2 * lease))
        return start(Effect.andThen(node.kill, restart), 0.7 * millis)
      }
      case "commits-refused-with-answer": {
        const millis = between(long, lease, 3 * lease)
        refuseCommits(node.name, millis)
        return start(ask(node.name, account), millis * when)
      }
      case "flush-slow-with-answer":
        return given.slowFlush(node.name, between(long, lease / 2, 3 * lease))
      case "commit-slow-with-late-answer":
        return holdUp(node.name, between(long, lease / 12, lease / 2))
      case "commit-slow-with-answer":
        return holdUp(node.name, between(long, 50, lease / 2))
      default: {
        const millis = between(long, 500, 3 * lease)
        cut(node.name, millis)
        // Callers come as soon as the store is back.
        return start(ask(node.name, account), millis + 500 * when)
      }
    }
  }
  const lies = (site: string, name: string, account: string, kinds: ReadonlyArray<string>): void => {
    const node = nodeOf(name)
    const fault = node && world.fault(`${site} ${name}`, kinds)
    if (node === undefined || fault === undefined) return
    world.note(`${fault.what} of ${name}`)
    strike(node, account, fault)
  }
  return (fact: Fact): void => {
    if (fact._tag === "Read" && fact.isOwn) {
      const account = accountOf(fact.request)
      lies("answer", fact.node, account, afterAnswer)
      if (given.isOverdue(fact.request, fact.at)) lies("late answer", fact.node, account, afterLateAnswer)
    }
    if (fact._tag !== "Stored" || fact.before === undefined || fact.after === undefined) return
    if (fact.after.epoch > fact.before.epoch) lies("lease", fact.node, fact.after.id, afterLease)
  }
}
