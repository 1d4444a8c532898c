/**
 * Timers in the order of their time, and of their making among equals: a binary heap.
 *
 * @module
 */
import type { Process } from "./process.ts"

/** Something that is due at a time of the world, in milliseconds. A timer that was stopped stays in the heap until it is due. */
export interface Timer {
  readonly at: number
  readonly order: number
  readonly process: Process
  readonly fire: () => void
  stopped: boolean
}

const isBefore = (one: Timer, other: Timer): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order)

/** The timers of a world. */
export class Timers {
  private readonly heap = new Array<Timer>()
  private made = 0

  start(at: number, process: Process, fire: () => void): Timer {
    const timer: Timer = { at, order: this.made++, process, fire, stopped: false }
    const { heap } = this
    let place = heap.length
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, timer)) break
      heap[place] = above
      place = parent
    }
    heap[place] = timer
    return timer
  }

  /** The time of the next timer, or infinity. */
  get next(): number {
    while (this.heap[0]?.stopped === true) this.shift()
    return this.heap[0]?.at ?? Number.POSITIVE_INFINITY
  }

  shift(): Timer | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let place = 0
    for (;;) {
      const left = heap[2 * place + 1]
      const right = heap[2 * place + 2]
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? right : left
      if (child === undefined || isBefore(last, child)) break
      heap[place] = child
      place = child === left ? 2 * place + 1 : 2 * place + 2
    }
    heap[place] = last
    return first
  }
}
