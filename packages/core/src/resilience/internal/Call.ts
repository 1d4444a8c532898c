/**
 * What the stages of one pipeline tell each other about one call, without a word in the public options.
 *
 * Waiting stages (retry, bulkhead, rate limit) say that they hold the call back here; the deadline reads it to know whether the
 * request can have left. Anything not said counts as "it may have left".
 *
 * @module
 */
import { Context, Effect, type Fiber } from "effect"

export class Call {
  /** Sends so far. */
  attempts = 0
  /** A local stage is holding the call back at this moment. */
  held = false
  /** An earlier attempt of this call was ambiguous. */
  doubt = false
  /** The shared flight this call waits for. Whether it has left counts then, and a doubt of either. */
  flight: Call | undefined = undefined
}

export const CurrentCall = Context.Reference<Call | undefined>("@rekindle/core/resilience/CurrentCall", {
  defaultValue: () => undefined
})

/** Whether a call that is given up at this moment may have been sent. */
export const maybeSent = (call: Call): boolean => {
  const { doubt, held } = call.flight ?? call
  return !held || doubt || call.doubt
}

/** Runs `f` with the current call, opening one if no outer stage has. */
export const withCall = <A, E, R>(
  f: (call: Call, fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const current = fiber.getRef(CurrentCall)
    if (current !== undefined) return f(current, fiber)
    const call = new Call()
    return Effect.provideService(f(call, fiber), CurrentCall, call)
  })
