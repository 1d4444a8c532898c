/**
 * A process of a world: one life of a node, from its start until it ends or is killed. It is the scheduler of every fiber of that life.
 *
 * Effect resumes a fiber on the spot, in the middle of whatever resumed it. Code of a process has to run in a step of that process alone, or
 * a killed process would go on inside the step of another. `shouldYield` is asked before every run of a fiber, and sends a fiber
 * that is resumed outside of a step of its process back to the queue. There a killed process' tasks are dropped, and a frozen one's wait.
 *
 * @module
 */
import type { Fiber, Scheduler } from "effect"

/** What a process needs of its world. */
export interface Queue {
  /** What is left of the operations that the step may run. */
  budget: number
  readonly push: (process: Process, task: () => void) => void
  /** A step of the process has used something of the real world, in this line. */
  readonly trip: (process: Process, name: string, line: string) => void
}

/** Whose process it is. */
export interface Owner {
  readonly name: string
  /** Called before each step. Returns whether the step may still be run: the process may have been killed or frozen by it. */
  readonly beforeStep: () => boolean
}

/** What runs in this very moment: one step of one process of one world. */
let running: Process | undefined

/** The process whose step runs in this moment. */
export const current = (): Process | undefined => running

/** One life of a node. */
export class Process implements Scheduler.Scheduler, Scheduler.SchedulerDispatcher {
  readonly executionMode = "async"
  /** Tasks that wait until the process is thawed. */
  readonly held = new Array<() => void>()
  state: "running" | "frozen" | "ended" = "running"
  /** How many steps it has taken. */
  steps = 0
  readonly queue: Queue
  readonly owner: Owner
  /** Tells the processes of a world apart. */
  readonly number: number

  constructor(queue: Queue, owner: Owner, number: number) {
    this.queue = queue
    this.owner = owner
    this.number = number
  }

  /** Nothing of this process runs any more, not even the rest of the step that ended it. */
  end(): void {
    this.state = "ended"
    this.held.length = 0
    if (running === this) running = undefined
  }

  shouldYield(_fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return running !== this || --this.queue.budget < 0
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this
  }

  scheduleTask(task: () => void): void {
    this.queue.push(this, task)
  }

  flush(): void {
    // `Effect.runSync` alone flushes, and it has a scheduler of its own.
  }
}

/** Runs a task as a step of a process. */
export const step = (process: Process, task: () => void): void => {
  running = process
  try {
    task()
  } finally {
    running = undefined
  }
}
