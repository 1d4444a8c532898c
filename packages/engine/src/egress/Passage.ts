/**
 * Lets the sender of a request that must not be sent twice control it in the egress: it can refuse the request at the last moment, and take
 * it over when its time limit is reached.
 *
 * It is a `Context.Reference`, so it reaches the egress through any strategy. A request whose sender sets none is sent without control.
 *
 * @module
 */
import { Context, type Fiber } from "effect"
import type { Observation } from "../answer/Verdict.ts"

/** Takes over a request that reached its time limit. Interrupting the fiber closes its connection. */
export type TakeOver = (request: Fiber.Fiber<Observation>) => void

/** The control that a sender has over its request. */
export interface Passage {
  /** Called at the last moment before the request is sent. Returns why it must not be sent, or undefined. */
  readonly refusal: () => string | undefined
  /** Receives the request when it reaches its time limit, because its answer may still come. Undefined: it is interrupted. */
  readonly takeOver: TakeOver | undefined
}

/** No control: the request is sent, and interrupted at its time limit. */
export const uncontrolled: Passage = { refusal: () => undefined, takeOver: undefined }

/** The passage of requests sent in this context. */
export const Passage = Context.Reference<Passage>("@rekindle/engine/Passage", { defaultValue: () => uncontrolled })
