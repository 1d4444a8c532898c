/**
 * How the sender of a request that must not be sent twice follows it on its way out: the last word before it leaves, and what becomes of
 * it when its time is over.
 *
 * It is a reference, so it reaches the egress through any strategy, and a request that nobody follows leaves freely.
 *
 * @module
 */
import { Context, type Fiber } from "effect"
import type { Observation } from "../answer/Verdict.ts"

/** Takes over a request whose time is over. Interrupting it closes its connection. */
export type TakeOver = (request: Fiber.Fiber<Observation>) => void

/** What the sender says about its request. */
export interface Passage {
  /** Asked at the last moment before the request leaves: why it may not leave, if so. It answers at once. */
  readonly refusal: () => string | undefined
  /** Where a request goes whose time is over: its answer may still come. Without one it is interrupted. */
  readonly takeOver: TakeOver | undefined
}

/** Nobody follows the request. */
export const freely: Passage = { refusal: () => undefined, takeOver: undefined }

/** The passage of requests sent in this context. */
export const Passage = Context.Reference<Passage>("@rekindle/engine/Passage", { defaultValue: () => freely })
