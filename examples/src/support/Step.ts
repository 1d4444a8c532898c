/**
 * The output of an example: one line for each claim, with a check mark if it holds and a cross if it does not.
 *
 * @module
 */
import { Cause, Console, Effect, Schema } from "effect"

/** A claim of an example does not hold. Its line was printed already. */
export class StepFailed extends Schema.TaggedError<StepFailed>("examples/StepFailed")("StepFailed", {
  claim: Schema.String
}) {}

/** An error on one line. */
const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return (error instanceof Error ? error.message : String(error))
    .split(/\s*\n\s*/)
    .join(" ")
    .trim()
}

/** Runs `effect`, which fails or throws unless `claim` holds, and prints the result. `detail` adds an observation. */
export const step = <A, E, R>(
  claim: string,
  effect: Effect.Effect<A, E, R>,
  detail?: (seen: A) => string
): Effect.Effect<A, StepFailed, R> =>
  effect.pipe(
    Effect.tap((seen) => Console.log(`  ✓ ${claim}${detail === undefined ? "" : ` (${detail(seen)})`}`)),
    Effect.catchCause((cause) =>
      Effect.andThen(Console.log(`  ✗ ${claim}: ${reasonOf(cause)}`), new StepFailed({ claim }))
    )
  )
