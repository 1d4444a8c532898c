/**
 * Deletes old rows: idempotency records after a day, consent attempts after they expire, and events after a month. It runs in the
 * background and in batches, so no caller waits for it.
 *
 * An application that reads the outbox trims it after reading. The limit here is for applications that do not, because each renewal adds a
 * row.
 *
 * @module
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import { AccountStore } from "../account/AccountStore.ts"
import { rememberFor } from "./Idempotency.ts"

/** How long rows are kept. */
export interface RetentionOptions {
  /** How long events stay in the outbox if the application does not trim it. Default 30 days. `Duration.infinity` keeps all. */
  readonly events?: Duration.Input | undefined
  /** How often it sweeps. Default 1 hour. */
  readonly interval?: Duration.Input | undefined
}

/** The maximum number of rows that one statement deletes. */
const batch = 500

/** Sweeps when the layer is built, and then at each interval. If the store fails, the next sweep tries again. */
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
