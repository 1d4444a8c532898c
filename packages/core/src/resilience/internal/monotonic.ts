/**
 * How long something took or has to wait. Corrections of the wall clock do not move this time, so none of them holds a call up.
 *
 * @module
 */
import { Clock, Effect } from "effect"

/** Milliseconds on the monotonic clock. Their zero is arbitrary. */
export const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)
