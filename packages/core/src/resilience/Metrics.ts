/**
 * The metrics of all policies, with their names and labels. Account ids are never labels, because there may be millions.
 *
 * @module
 */
import { Metric } from "effect"
import type { RefreshError } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"

/** Sends of a refresh, first attempts and retries. `retry` counts them. */
export const attempts = Metric.counter("rekindle.refresh.attempts", {
  description: "Sends of a refresh, first attempts and retries",
  incremental: true
})

/** Retries spent from the retry budget, including retries of reads. */
export const retries = Metric.counter("rekindle.retries", {
  description: "Retries spent from the retry budget",
  incremental: true
})

/** Milliseconds from the call to its answer, for the caller. */
export const latency = Metric.histogram("rekindle.refresh.duration", {
  description: "Milliseconds from the call to its answer, for the caller",
  boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000]
})

/** Calls that wait in the queues of all bulkheads. */
export const queueDepth = Metric.gauge("rekindle.bulkhead.queue", {
  description: "Calls that wait in the queue of a bulkhead"
})

const outcomes = new Map<string, Map<string, Metric.Counter<number>>>()

/** Finished refreshes by the tag of the outcome or error, and by disposition; `answered` if there was no error. */
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

/** Circuit transitions by their new state. */
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
