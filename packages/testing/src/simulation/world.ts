/**
 * The loop of a world: one queue of tasks, each with its process, and one heap of timers. It runs synchronously as long as there are tasks.
 *
 * The seed decides which task runs next, after how many operations it is preempted, and how much time a step takes. Some worlds take tasks in
 * the order they came, others any; some preempt often, others hardly; in some a step takes no time, in others a millisecond. Each finds
 * faults that the others do not.
 *
 * @module
 */
import { Cause, Formatter } from "effect"
import { Chance } from "./chance.ts"
import { Faults, type FaultPlan, type FaultRates } from "./faults.ts"
import { settle } from "./later.ts"
import { Misuse } from "./misuse.ts"
import { type Owner, Process, type Queue, step } from "./process.ts"
import type { Schedule } from "./shrink.ts"
import { type Timer, Timers } from "./timers.ts"
import type { Waiting } from "./waiting.ts"

/** One line of the story of a world. */
export interface StoryLine {
  readonly step: number
  /** Milliseconds since the world began. */
  readonly time: number
  /** The node that did it, or `world`. */
  readonly node: string
  readonly what: string
}

/** Why a run failed. */
export interface Failure {
  /**
   * - `invariant`: an invariant did not hold after a step.
   * - `program`: the program of the world or of a node failed or died.
   * - `liveness`: what was waited for did not come in time.
   * - `stalled`: nothing was left to do, and the program of the world had not ended.
   * - `endless`: the bound on steps or on time was reached.
   * - `tripwire`: a step used time, chance, a timer, a socket or a thread of the real world.
   * - `misuse`: the settings or a call of the world make no sense. See `Misuse`.
   */
  readonly kind: "invariant" | "program" | "liveness" | "stalled" | "endless" | "tripwire" | "misuse"
  /** The name of the invariant, of what was waited for, of the node, or of what was used. `settings` or `faults` if these make no sense. */
  readonly name: string
  readonly message: string
  /** The step after which it was seen. */
  readonly step: number
  /** What a program failed with. */
  readonly cause?: Cause.Cause<unknown> | undefined
}

/** An error in one line. */
export const textOf = (error: unknown): string => {
  if (error instanceof Error) return error.message === "" ? error.name : `${error.name}: ${error.message}`
  return typeof error === "string" ? error : Formatter.format(error)
}

/** What bounds a world, and what it waits for. */
export interface Bounds {
  readonly maxSteps: number
  /** Milliseconds. */
  readonly maxTime: number
  /** Whether promises of the real world are waited for. */
  readonly promises: boolean
}

/** What is checked after each step. */
interface Watch {
  readonly check: () => void
}

/** The tasks, timers and choices of one world. */
export class Core implements Queue {
  readonly seed: number
  readonly faults: Faults
  readonly story = new Array<StoryLine>()
  readonly watches = new Set<Watch>()
  readonly timers = new Timers()
  now = 0
  steps = 0
  rests = 0
  budget = 0
  failure: Failure | undefined
  ended = false
  /** Set in a world that is run to know who waits for what. */
  waiting: Waiting | undefined
  /** A hash of all choices: equal in two runs that did the same. */
  fingerprint = 0
  private readonly bounds: Bounds
  private readonly random: Chance
  private readonly tasks = new Array<() => void>()
  private readonly owners = new Array<Process>()
  /** Tasks before this one were run. Used where tasks are taken in order. */
  private head = 0
  private readonly inOrder: boolean
  private readonly patience: number
  private readonly stepTime: number
  private readonly processes = new Array<Process>()
  private outsideWork: Promise<unknown> | undefined

  constructor(seed: number, faults: FaultRates | FaultPlan, bounds: Bounds, schedule: Schedule) {
    this.seed = seed
    this.faults = new Faults(seed, faults, (message) => this.fail({ kind: "misuse", name: "faults", message }))
    this.bounds = bounds
    const isCalm = schedule === "calm"
    this.random = new Chance(seed, `schedule ${schedule}`)
    this.inOrder = isCalm || this.random.below(4) === 0
    this.patience = isCalm ? 2048 : this.random.pick(2, 8, 32, 256)
    this.stepTime = isCalm ? 0 : this.random.pick(0, 0.001, 0.05, 1)
  }

  makeProcess(owner: Owner): Process {
    const process = new Process(this, owner, this.processes.length)
    this.processes.push(process)
    this.waiting?.follow(process)
    return process
  }

  /** Drawn apart from everything else, so that a size that is given moves no other. */
  sizeOf(name: string, min: number, max: number): number {
    return min + new Chance(this.seed, `size ${name}`).below(max - min + 1)
  }

  readonly push = (process: Process, task: () => void): void => {
    if (process.state === "frozen") {
      process.held.push(task)
      return
    }
    // The tasks of a process that has ended are dropped when it is their turn.
    this.tasks.push(task)
    this.owners.push(process)
  }

  readonly startTimer = (after: number, process: Process, fire: () => void): Timer =>
    this.timers.start(this.now + after, process, fire)

  /** The tasks of a process that was frozen, in the queue again. */
  thaw(process: Process): void {
    process.state = "running"
    for (const task of process.held.splice(0)) this.push(process, task)
  }

  note(node: string, what: string): void {
    this.story.push({ step: this.steps, time: this.now, node, what })
  }

  /** The first failure ends the world. */
  fail(failure: Omit<Failure, "step">): void {
    this.failure ??= { ...failure, step: this.steps }
  }

  readonly trip = (process: Process, name: string, line: string): void =>
    this.fail({ kind: "tripwire", name, message: `${process.owner.name} used ${name} in ${line}` })

  /** The end of a program. */
  failWith(name: string, cause: Cause.Cause<unknown>): void {
    const error = Cause.squash(cause)
    this.fail(
      error instanceof Misuse
        ? { kind: "misuse", name, message: error.message, cause }
        : { kind: "program", name, message: textOf(error), cause }
    )
  }

  /** See `Outside` in `crypto.ts`. */
  readonly outside = <A>(promise: PromiseLike<A>): Promise<A> => {
    const before = this.outsideWork
    const result = Promise.allSettled([promise, before]).then(() => promise)
    this.outsideWork = result.catch(() => undefined)
    return result
  }

  /** Runs until the world has ended or failed. */
  async run(): Promise<void> {
    for (;;) {
      if (this.ended || this.failure !== undefined) return
      if (this.outsideWork !== undefined && this.bounds.promises) {
        const work = this.outsideWork
        this.outsideWork = undefined
        await work
        await settle()
        continue
      }
      if (this.timers.next <= this.now) this.fire()
      if (this.head < this.tasks.length) {
        this.step()
        // A world that always has something to do waits for promises too.
        if (this.bounds.promises && this.steps % 256 === 0) await settle()
        continue
      }
      if (this.bounds.promises) {
        await settle()
        if (this.head < this.tasks.length || this.outsideWork !== undefined) continue
      }
      const next = this.timers.next
      if (next === Number.POSITIVE_INFINITY) {
        this.fail({ kind: "stalled", name: "world", message: "nothing is left to do, and the program has not ended" })
        return
      }
      this.rests++
      this.now = next
    }
  }

  /** Timers that are due become tasks. */
  private fire(): void {
    while (this.timers.next <= this.now) {
      const timer = this.timers.shift()
      if (timer !== undefined) this.push(timer.process, timer.fire)
    }
  }

  private step(): void {
    const place = this.head + (this.inOrder ? 0 : this.random.below(this.tasks.length - this.head))
    const task = this.tasks[place]
    const owner = this.owners[place]
    this.remove(place)
    if (task === undefined || owner === undefined || owner.state === "ended") return
    if (owner.state === "frozen") {
      owner.held.push(task)
      return
    }
    try {
      this.take(owner, task)
    } catch (defect) {
      this.failWith(owner.owner.name, Cause.die(defect))
    }
    this.now += this.stepTime
    if (this.ended || (this.steps < this.bounds.maxSteps && this.now <= this.bounds.maxTime)) return
    this.fail({
      kind: "endless",
      name: "world",
      message: `the program has not ended after ${this.now.toFixed(0)} ms and ${this.steps} steps: ${this.whoRan()}`
    })
  }

  private take(owner: Process, task: () => void): void {
    if (!owner.owner.beforeStep()) {
      this.push(owner, task)
      return
    }
    // Fewer than three operations would not get a fiber further than to where it was preempted.
    this.budget = 3 + this.random.below(this.patience)
    this.steps++
    owner.steps++
    this.fingerprint = (Math.imul(this.fingerprint, 31) + owner.number + Math.floor(this.now * 1000)) | 0
    step(owner, task)
    for (const watch of this.watches) watch.check()
  }

  /** The nodes with their steps, the busiest first. */
  private whoRan(): string {
    const steps = new Map<string, number>()
    for (const process of this.processes) {
      const { name } = process.owner
      steps.set(name, (steps.get(name) ?? 0) + process.steps)
    }
    return Array.from(steps)
      .toSorted(([, one], [, other]) => other - one)
      .map(([name, count]) => `${count} of ${name}`)
      .join(", ")
  }

  private remove(place: number): void {
    const { owners, tasks } = this
    if (this.inOrder) {
      this.head++
      if (this.head < 1024 && this.head < tasks.length) return
      tasks.splice(0, this.head)
      owners.splice(0, this.head)
      this.head = 0
      return
    }
    const task = tasks.pop()
    const owner = owners.pop()
    if (place === tasks.length || task === undefined || owner === undefined) return
    tasks[place] = task
    owners[place] = owner
  }
}
