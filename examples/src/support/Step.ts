/**
 * How an example speaks: one line for each thing that it claims, with a check mark once it has been seen to be so, or a cross.
 *
 * @module
 */
import { Cause, Console, Effect, Schema } from "effect"

/** Something an example claims was not so. It has been said already. */
export class StepFailed extends Schema.TaggedError<StepFailed>("examples/StepFailed")("StepFailed", {
  claim: Schema.String
}) {}

/** What went wrong, on one line. */
const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return (error instanceof Error ? error.message : String(error))
    .split(/\s*\n\s*/)
    .join(" ")
    .trim()
}

/** Runs `effect`, which fails or throws unless `claim` is so, and says how it went. `detail` adds what was seen. */
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
