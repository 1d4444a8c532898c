/**
 * Deletes what nobody needs any more: idempotency records past their day and consent attempts past their end. In the background and in
 * batches, so that no caller's transaction pays for it or waits for its locks.
 *
 * The outbox is not swept. Only the application knows what it has read, and trims it itself.
 *
 * @module
 */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import { AccountStore } from "../account/AccountStore.ts"
import { rememberFor } from "./Idempotency.ts"

/** How often it sweeps. */
const interval = Duration.hours(1)

/** Rows in one statement. */
const batch = 500

/** Sweeps when the layer is built, and then every hour. A store that fails is tried again at the next sweep. */
export const layer: Layer.Layer<never, never, AccountStore> = Layer.effectDiscard(
  Effect.gen(function* () {
    const store = yield* AccountStore
    const sweep = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      while ((yield* store.sweep({ now, keysBefore: now - Duration.toMillis(rememberFor), limit: batch })) >= batch)
        yield* Effect.yieldNow
    }).pipe(
      Effect.withTracerEnabled(false),
      Effect.catchCause((cause) => Effect.logWarning("old idempotency keys and consent attempts were not swept", cause))
    )
    yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.spaced(interval)))
  })
)
