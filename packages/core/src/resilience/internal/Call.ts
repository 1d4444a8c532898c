/**
 * The state of one call that the stages of a pipeline share, apart from the public options.
 *
 * A stage that waits (retry, bulkhead, rate limit) sets `held`. The deadline reads it to decide whether the request may have been sent. If
 * it is not set, the request counts as sent.
 *
 * @module
 */
import { Context, Effect, type Fiber } from "effect"

export class Call {
  /** Sends so far. */
  attempts = 0
  /** Whether a local stage holds the call back now. */
  held = false
  /** Whether an earlier attempt of this call was ambiguous. */
  doubt = false
  /** The shared flight that this call waits for. Its `held` then counts, and the `doubt` of both. */
  flight: Call | undefined = undefined
}

export const CurrentCall = Context.Reference<Call | undefined>("@rekindle/core/resilience/CurrentCall", {
  defaultValue: () => undefined
})

/** Whether a call that is abandoned now may have been sent. */
export const maybeSent = (call: Call): boolean => {
  const { doubt, held } = call.flight ?? call
  return !held || doubt || call.doubt
}

/** Runs `f` with the current call. It makes one if no outer stage has. */
export const withCall = <A, E, R>(
  f: (call: Call, fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const current = fiber.getRef(CurrentCall)
    if (current !== undefined) return f(current, fiber)
    const call = new Call()
    return Effect.provideService(f(call, fiber), CurrentCall, call)
  })
