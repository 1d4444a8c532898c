/**
 * Spans and metrics of calls to providers. Labels are few and public: the provider's name in the profile, the verdict, the status, and the
 * number of the attempt. Account ids are in spans only, because there may be millions.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock } from "@rekindle/core"
import { Clock, Effect, Exit, Metric, type Tracer } from "effect"
import type { Observation, Verdict } from "../answer/Verdict.ts"

type Labels = Readonly<Record<string, string>>

/** Makes a metric for each set of labels, once. Merging labels into a metric at every update costs more than the update. */
const series = <Of>(make: (labels: Labels) => Of) => {
  const made = new Map<string, Of>()
  return (labels: Labels): Of => {
    const key = JSON.stringify(labels)
    const known = made.get(key)
    if (known !== undefined) return known
    const fresh = make(labels)
    made.set(key, fresh)
    return fresh
  }
}

/** Calls to providers. */
const calls = series((attributes) =>
  Metric.counter("rekindle.provider.calls", {
    description: "Calls to providers by operation, provider, verdict, status and attempt",
    incremental: true,
    attributes
  })
)

/** The duration of calls to providers. */
const durations = series((attributes) =>
  Metric.histogram("rekindle.provider.duration", {
    description: "Milliseconds from a call to its verdict",
    boundaries: [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000],
    attributes
  })
)

/** Runs an effect in a span, if there is a tracer. The span ends without the value, which may hold tokens. */
export const spanned =
  (name: string, options: Tracer.SpanOptionsNoTrace) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) =>
      fiber.cache.tracerEnabled && fiber.cache.tracer !== undefined
        ? Effect.acquireUseRelease(
            Effect.makeSpan(name, options),
            (span) => Effect.withParentSpan(self, span, { captureStackTrace: false }),
            (span, exit) => Effect.map(Clock.currentTimeNanos, (now) => span.end(now, Exit.asVoid(exit)))
          )
        : self
    )

/** The labels that a result gives a call. */
interface CallLabels {
  readonly verdict: string
  readonly status?: string
}

/** The labels of a token request. */
export const tokenRequest = ({
  observation,
  verdict
}: {
  readonly observation: Observation
  readonly verdict: Verdict
}): CallLabels => ({
  verdict: verdict._tag,
  status: observation._tag === "Answer" ? String(observation.status) : observation._tag
})

/** The labels of a probe or a withdrawal, whose answer the strategy judges. */
export const judgement = ({ _tag }: { readonly _tag: string }): CallLabels => ({ verdict: _tag })

/** Records one call: a span `rekindle.provider.call` and the metrics above. */
export const observed =
  <Result>(
    call: {
      readonly operation: "renewal" | "consent" | "validation" | "withdrawal"
      readonly provider: string
      readonly accountId: ConnectedAccountId
      readonly attempt: number
    },
    labelsOf: (result: Result) => CallLabels
  ) =>
  <A extends Result, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(MonotonicClock.millis, (start) =>
      Effect.tap(self, (result) => {
        const labels = {
          operation: call.operation,
          provider: call.provider,
          ...labelsOf(result),
          attempt: String(call.attempt)
        }
        return Effect.withFiber((fiber) => {
          const took = MonotonicClock.millisUnsafe(fiber.getRef(Clock.Clock)) - start
          calls(labels).updateUnsafe(1, fiber.context)
          durations({ provider: call.provider }).updateUnsafe(took, fiber.context)
          return fiber.cache.span === undefined
            ? Effect.void
            : Effect.annotateCurrentSpan(
                Object.fromEntries(Object.entries(labels).map(([name, value]) => [`rekindle.${name}`, value]))
              )
        })
      })
    ).pipe(spanned("rekindle.provider.call", { kind: "client", attributes: { "rekindle.account.id": call.accountId } }))
