/**
 * Deletes what nobody needs any more: idempotency records past their day, consent attempts past their end, and events that were there for
 * everybody to read for a month. In the background and in batches, so that no caller's transaction pays for it or waits for its locks.
 *
 * An application that reads the outbox trims it itself, as far as it has read. The limit here is for the others: each renewal adds a row.
 *
 * @module
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import { AccountStore } from "../account/AccountStore.ts"
import { rememberFor } from "./Idempotency.ts"

/** What is kept, and for how long. */
export interface RetentionOptions {
  /** How long events stay in the outbox if nobody trims it. Default 30 days; `Duration.infinity` keeps them all. */
  readonly events?: Duration.Input | undefined
  /** How often it sweeps. Default 1 hour. */
  readonly interval?: Duration.Input | undefined
}

/** Rows in one statement. */
const batch = 500

/** Sweeps when the layer is built, and then at each interval. A store that fails is tried again at the next sweep. */
export const layer = (options: RetentionOptions = {}): Layer.Layer<never, never, AccountStore> => {
  const keepEvents = Duration.toMillis(Duration.fromInputUnsafe(options.events ?? "30 days"))
  return Layer.effectDiscard(
    Effect.gen(function* () {
      const store = yield* AccountStore
      const sweep = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const keysBefore = now - Duration.toMillis(rememberFor)
        while ((yield* store.sweep({ now, keysBefore, limit: batch })) >= batch) yield* Effect.yieldNow
        const before = now - keepEvents
        if (!Number.isFinite(before)) return
        while ((yield* store.sweepOutbox({ before, limit: batch })) >= batch) yield* Effect.yieldNow
      }).pipe(
        Effect.withTracerEnabled(false),
        Effect.catchCause((cause) =>
          Effect.logWarning("old idempotency keys, consent attempts and events were not swept", cause)
        )
      )
      yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.spaced(options.interval ?? "1 hour")))
    })
  )
}
