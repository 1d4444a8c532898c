/**
 * The events of the current project's accounts, as a stream from the outbox.
 *
 * @module
 */
import { type ConnectionEvent, CurrentProject, EventsMissed, type EventsOptions } from "@rekindle/core"
import { DateTime, Duration, Effect, Option, Stream } from "effect"
import type { AccountStore, OutboxEvent } from "../account/AccountStore.ts"
import { storeDown } from "../renewal/renewal.ts"

/** The number of events that one statement reads. */
const batch = 500

const shown = ({ accountId, at, sequence, status, statusReason, type }: OutboxEvent): ConnectionEvent => ({
  sequence,
  accountId,
  type,
  status,
  statusReason,
  at: DateTime.makeUnsafe(at)
})

/** Makes `events`. */
export const makeEvents =
  ({ forgottenThrough, readOutbox }: AccountStore["Service"]) =>
  ({ after, follow = true, pollInterval = "1 second" }: EventsOptions = {}) => {
    const interval = Duration.fromInputUnsafe(pollInterval)
    return Stream.unwrap(
      Effect.map(CurrentProject, (projectId) =>
        Stream.paginate(
          after,
          Effect.fnUntraced(function* (done: number | undefined) {
            const { items, next } = yield* Effect.mapError(readOutbox(done ?? 0, batch, projectId), storeDown)
            const through = yield* Effect.mapError(forgottenThrough, storeDown)
            // A reader that starts with the oldest event misses none.
            if (done !== undefined && through > done) {
              return yield* new EventsMissed({
                message: `the events after ${done} and up to ${through} are deleted`,
                after: done,
                through
              })
            }
            const last = next?.sequence ?? items.at(-1)?.sequence ?? done
            const isLast = next === undefined
            if (isLast && items.length === 0 && follow) yield* Effect.sleep(interval)
            return [items.map(shown), isLast && !follow ? Option.none() : Option.some(last)] as const
          })
        )
      )
    )
  }
