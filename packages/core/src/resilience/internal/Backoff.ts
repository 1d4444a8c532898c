/**
 * Decorrelated jitter: each wait is drawn between `base` and three times the previous one, and capped. It spreads a crowd of callers
 * better than jitter around a fixed ladder, because each caller's ladder is its own.
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @module
 */
import { Effect, Random } from "effect"

/** Milliseconds to wait after having waited `previous`; start with `previous = base`. */
export const decorrelated = (previous: number, base: number, cap: number): Effect.Effect<number> =>
  Effect.map(Random.nextBetween(base, Math.max(base, previous * 3)), (drawn) => Math.min(cap, Math.round(drawn)))
