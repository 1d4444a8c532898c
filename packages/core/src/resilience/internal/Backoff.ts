/**
 * Decorrelated jitter: each wait is drawn between `base` and three times the previous wait, and capped. It spreads many callers better than jitter
 * around fixed steps, because each caller has its own steps.
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 *
 * @module
 */
import { Effect, Random } from "effect"

/** The next wait in milliseconds, after a wait of `previous`. Start with `previous = base`. */
export const decorrelated = (previous: number, base: number, cap: number): Effect.Effect<number> =>
  Effect.map(Random.nextBetween(base, Math.max(base, previous * 3)), (drawn) => Math.min(cap, Math.round(drawn)))
