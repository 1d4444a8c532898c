/**
 * Milliseconds on a clock that no correction moves, for waits and for how long something took.
 *
 * @module
 */
import { Clock, Effect } from "effect"

/** Its zero is arbitrary. */
export const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)
