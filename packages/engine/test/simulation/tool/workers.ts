/**
 * Processes that run worlds, one part of the seeds after another. A process is replaced after some parts, so that nothing it keeps adds up.
 *
 * @module
 */
import { Data, Effect, Scope } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { FailedSeed } from "./progress.ts"
import type { Range } from "./ranges.ts"

/** What a process is asked to run. */
export interface Asked {
  readonly range: Range
  /** Whether to stop at the first seed that fails. */
  readonly stopsAtFirst: boolean
}

/** What a process says. */
export type Said =
  | { readonly _tag: "Began"; readonly seed: number }
  | {
      readonly _tag: "Ran"
      readonly seed: number
      readonly steps: number
      readonly failed: { readonly name: string; readonly message: string } | undefined
    }
  /** It waits for the next part. */
  | { readonly _tag: "Done" }

/** What became of a part. */
export interface Ran {
  /** The seeds that were run: all that were asked, or those up to the first failure. */
  readonly range: Range
  readonly steps: number
  readonly failed: ReadonlyArray<FailedSeed>
}

/** A process ended that should not have. */
export class WorkerEnded extends Data.TaggedError("WorkerEnded")<{ readonly message: string }> {}

/**
 * How many seconds one world may take. The steps of a world are bounded, so one that takes longer hangs within a step. The seconds are
 * counted one by one: while the machine sleeps, or stops all processes, none is counted.
 */
const longest = 60

/** How many parts a process runs. */
const partsOfProcess = 100

const start = (fault: string | undefined) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(join(import.meta.dirname, "part.ts"), fault === undefined ? [] : [fault], {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
        env: { NODE_COMPILE_CACHE: join(tmpdir(), "rekindle-compile-cache"), ...process.env }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Asks a process, or waits for its start, until it is done. */
const converse = (child: ChildProcess, asked: Asked | undefined) =>
  Effect.callback<Ran, WorkerEnded>((resume) => {
    const failed: Array<FailedSeed> = []
    const from = asked?.range[0] ?? 0
    let steps = 0
    let seed = from
    let end = from
    let seconds = 0
    const finish = (effect: Effect.Effect<Ran, WorkerEnded>) => {
      clearInterval(watch)
      child.off("message", hear).off("exit", ended)
      resume(effect)
    }
    const hang = () => {
      // The rest of the part is not known, so it is run again.
      failed.push({ seed, name: "hangs", message: `seed ${seed} does not end within a minute` })
      child.kill("SIGKILL")
      finish(Effect.succeed({ range: [from, seed + 1], steps, failed }))
    }
    const watch = setInterval(() => {
      seconds++
      if (seconds >= longest) hang()
    }, 1_000)
    const hear = (said: Said) => {
      seconds = 0
      if (said._tag === "Done") return finish(Effect.succeed({ range: [from, end], steps, failed }))
      seed = said.seed
      if (said._tag === "Began") return undefined
      end = said.seed + 1
      steps += said.steps
      if (said.failed !== undefined) failed.push({ seed, ...said.failed })
      return undefined
    }
    const ended = () => finish(Effect.fail(new WorkerEnded({ message: `a process ended while it ran seed ${seed}` })))
    child.on("message", hear).on("exit", ended)
    if (child.exitCode !== null || child.signalCode !== null) ended()
    else if (asked !== undefined) child.send(asked)
    return Effect.sync(() => {
      clearInterval(watch)
      child.off("message", hear).off("exit", ended)
    })
  })

/** A worker runs parts, one at a time. Its process starts with its first part. */
export type Worker = (asked: Asked) => Effect.Effect<Ran, WorkerEnded>

/** Makes a worker, whose processes end with the scope. */
export const makeWorker = Effect.fnUntraced(function* (fault?: string): Effect.fn.Return<Worker, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let child: ChildProcess | undefined
  let parts = 0
  return Effect.fnUntraced(function* (asked: Asked) {
    if (child === undefined || child.killed || parts >= partsOfProcess) {
      child?.kill("SIGKILL")
      child = yield* Scope.provide(start(fault), scope)
      parts = 0
      yield* converse(child, undefined)
    }
    parts++
    return yield* converse(child, asked)
  })
})
