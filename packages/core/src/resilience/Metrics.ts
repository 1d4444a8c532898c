/**
 * The metrics that policies keep, in one place so that names and labels can be read at a glance. Account ids are never labels: there
 * may be millions.
 *
 * @module
 */
import { Metric } from "effect"
import type { RefreshError } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"

/** Sends of a refresh, first attempts and retries alike, counted by `retry`. */
export const attempts = Metric.counter("rekindle.refresh.attempts", {
  description: "Sends of a refresh, first attempts and retries",
  incremental: true
})

/** Retries paid for out of the retry budget, reads included. */
export const retries = Metric.counter("rekindle.retries", {
  description: "Retries spent from the retry budget",
  incremental: true
})

/** Milliseconds from call to answer, as the caller saw it. */
export const latency = Metric.histogram("rekindle.refresh.duration", {
  description: "Milliseconds from call to answer, as the caller saw it",
  boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000]
})

/** Calls waiting for their turn, in all bulkheads together. */
export const queueDepth = Metric.gauge("rekindle.bulkhead.queue", {
  description: "Calls waiting in a bulkhead for their turn"
})

const outcomes = new Map<string, Map<string, Metric.Counter<number>>>()

/** Finished refreshes by tag of the outcome or the error, and by disposition; `answered` stands for "no error". */
export const outcome = (
  tag: RefreshOutcome["_tag"] | RefreshError["_tag"] | "Interrupted" | "Defect",
  disposition: RefreshError["disposition"] | "answered"
): Metric.Counter<number> => {
  let byDisposition = outcomes.get(tag)
  if (byDisposition === undefined) {
    byDisposition = new Map()
    outcomes.set(tag, byDisposition)
  }
  let counter = byDisposition.get(disposition)
  if (counter === undefined) {
    counter = Metric.counter("rekindle.refresh.outcomes", {
      description: "Finished refreshes by outcome and disposition",
      incremental: true,
      attributes: { outcome: tag, disposition }
    })
    byDisposition.set(disposition, counter)
  }
  return counter
}

/** Circuit transitions by where they led. */
export const circuitTransitions = {
  Open: transitionsTo("Open"),
  HalfOpen: transitionsTo("HalfOpen"),
  Closed: transitionsTo("Closed")
}

function transitionsTo(state: "Open" | "HalfOpen" | "Closed"): Metric.Counter<number> {
  return Metric.counter("rekindle.circuit.transitions", {
    description: "Circuit breaker transitions",
    incremental: true,
    attributes: { to: state }
  })
}
