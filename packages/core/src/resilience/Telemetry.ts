/**
 * Telemetry: one span and a few metrics for each refresh, as its caller sees it. Its place is outermost.
 *
 * The span `rekindle.refresh` has the attributes `rekindle.account.id`, `rekindle.attempts`, `rekindle.outcome` and `rekindle.disposition`, and the
 * error's tag as `error.type`. It never contains a token or a link to consent. Without a tracer, no span is made.
 *
 * @module
 */
import { Clock, Effect, Exit, type Fiber } from "effect"
import * as MonotonicClock from "../MonotonicClock.ts"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshError } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"
import { Call, CurrentCall } from "./internal/Call.ts"
import * as Metrics from "./Metrics.ts"
import { type Policy, policy } from "./Policy.ts"

interface Ending {
  readonly tag: RefreshOutcome["_tag"] | RefreshError["_tag"] | "Interrupted" | "Defect"
  readonly disposition: RefreshError["disposition"] | "answered"
}

const endingOf = (exit: Exit.Exit<RefreshOutcome, RefreshError>): Ending => {
  if (Exit.isSuccess(exit)) return { tag: exit.value._tag, disposition: "answered" }
  const error = Exit.findErrorOption(exit)
  if (error._tag === "Some") return { tag: error.value._tag, disposition: error.value.disposition }
  return { tag: Exit.hasInterrupts(exit) ? "Interrupted" : "Defect", disposition: "ambiguous" }
}

const traces = (fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  fiber.cache.tracerEnabled && fiber.cache.tracer !== undefined

/**
 * Records a span and metrics for each refresh.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer, Metric } from "effect"
 *
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.succeed(Ready.make({ id })),
 *   get: () => Effect.die("not used here")
 * })
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   yield* accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))
 *   const ready = yield* Metric.value(Resilience.Metrics.outcome("Ready", "answered"))
 *   assert.equal(ready.count, 1)
 * })
 *
 * await program.pipe(
 *   Effect.provide(Resilience.layer(Resilience.telemetry()).pipe(Layer.provide(provider))),
 *   Effect.provideService(Metric.MetricRegistry, new Map()),
 *   Effect.runPromise
 * )
 * ```
 */
export const telemetry = (): Policy =>
  policy("telemetry", {}, (next) =>
    Effect.succeed({
      get: next.get,
      refresh: (id, options) =>
        Effect.withFiber((fiber) => {
          const clock = fiber.getRef(Clock.Clock)
          const startedAt = MonotonicClock.millisUnsafe(clock)
          const measured = (self: Effect.Effect<RefreshOutcome, RefreshError>) =>
            Effect.onExitPrimitive(self, (exit) => {
              const { disposition, tag } = endingOf(exit)
              Metrics.outcome(tag, disposition).updateUnsafe(1, fiber.context)
              Metrics.latency.updateUnsafe(MonotonicClock.millisUnsafe(clock) - startedAt, fiber.context)
              return undefined
            })
          if (!traces(fiber)) return measured(next.refresh(id, options))
          const call = new Call()
          return spanned(measured(Effect.provideService(next.refresh(id, options), CurrentCall, call)), id, call)
        })
    })
  )

/** Ends the span without the outcome, which may contain a link to consent. */
const spanned = (
  self: Effect.Effect<RefreshOutcome, RefreshError>,
  id: ConnectedAccountId,
  call: Call
): Effect.Effect<RefreshOutcome, RefreshError> =>
  Effect.acquireUseRelease(
    Effect.makeSpan("rekindle.refresh", { attributes: { "rekindle.account.id": id }, kind: "client" }),
    (span) => Effect.withParentSpan(self, span, { captureStackTrace: false }),
    (span, exit) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        const { disposition, tag } = endingOf(exit)
        span.attribute("rekindle.attempts", (call.flight ?? call).attempts)
        span.attribute("rekindle.outcome", tag)
        span.attribute("rekindle.disposition", disposition)
        if (Exit.isFailure(exit)) span.attribute("error.type", tag)
        span.end(now, Exit.asVoid(exit))
      })
  )
