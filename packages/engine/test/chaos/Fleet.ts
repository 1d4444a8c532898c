/**
 * Worker processes, seen from the parent.
 *
 * @module
 */
import { Effect, Schema, type Scope } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { bundle } from "../support/bundle.ts"
import { type Answers, engineIsOpen, type Job, JobJson, type Order, Progress, Report } from "./Job.ts"

const program = fileURLToPath(new URL("./worker.ts", import.meta.url))

const decodeMessage = Schema.decodeUnknownSync(Schema.Union([Progress, Report]))

/** A running worker. */
export interface Worker {
  /**
   * Waits until its engine is open, or the worker ends, and returns whether it opened. If the database goes away before, it cannot be
   * opened.
   */
  readonly open: Effect.Effect<boolean>
  /** `kill -9`. */
  readonly kill: () => void
  /** Makes it kill itself when all of its requests are answered. */
  readonly die: () => void
  /** Makes it stop sending refreshes. */
  readonly stop: Effect.Effect<void>
  /** Sets its wall clock to so many milliseconds off the true time. */
  readonly setClock: (offBy: number) => void
  /** Stops the process (`SIGSTOP`) until it is woken. */
  readonly freeze: () => void
  /** `SIGCONT`. */
  readonly wake: () => void
  /** Its results so far, half a second old at most. */
  readonly answers: () => Answers
  /** Its end: a report, or the signal that killed it. */
  readonly ended: Effect.Effect<Report | "killed">
}

/** Starts a worker. It ends with the scope. */
export const start = Effect.fnUntraced(function* (job: Job): Effect.fn.Return<Worker, never, Scope.Scope> {
  const text = yield* Effect.orDie(Schema.encodeEffect(JobJson)(job))
  const script = yield* Effect.promise(() => bundle(program))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(script, [text], { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] })),
    (child) => Effect.promise(() => end(child))
  )
  const gone = once(child, "exit")
  let opened = (_: boolean): void => {}
  const open = new Promise<boolean>((resolve) => {
    opened = resolve
  })
  void gone.then(() => opened(false))
  let answers: Answers = {}
  const reported = new Promise<Report>((resolve) =>
    child.on("message", (message) => {
      if (message === engineIsOpen) return opened(true)
      const told = decodeMessage(message)
      answers = told.answers
      if (told._tag === "Report") resolve(told)
    })
  )
  // A worker that was killed a moment ago takes no order.
  const order = (order: Order) => void (child.connected && child.send(order, () => {}))
  return {
    open: Effect.promise(() => open),
    kill: () => void child.kill("SIGKILL"),
    die: () => order({ _tag: "Die" }),
    stop: Effect.sync(() => order({ _tag: "Stop" })),
    setClock: (offBy) => order({ _tag: "SetClock", offBy }),
    freeze: () => void child.kill("SIGSTOP"),
    wake: () => void child.kill("SIGCONT"),
    answers: () => answers,
    ended: Effect.promise(async () => {
      const [code, signal] = await gone
      if (signal === "SIGKILL") return "killed"
      if (code !== 0) throw new Error(`a worker ended with ${code ?? signal}`)
      return reported
    })
  }
})

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
}

/** Runs a worker to its report. */
export const run = (job: Job): Effect.Effect<Report> =>
  Effect.scoped(
    Effect.flatMap(start(job), ({ ended }) =>
      Effect.flatMap(ended, (report) =>
        report === "killed" ? Effect.die(new Error("a worker was killed")) : Effect.succeed(report)
      )
    )
  )
