/**
 * Shares one read between callers that ask for the same key at the same time. When a cached value expires, hundreds of renewals may need it
 * at once.
 *
 * **Gotchas**
 *
 * A read that takes longer than a second is not joined any more, because its connection may be lost. Later callers start a new read.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Deferred, Duration, Effect, Exit } from "effect"

const joinedFor = Duration.toMillis("1 second")

interface Running<A, E> {
  readonly since: number
  readonly exit: Deferred.Deferred<Exit.Exit<A, E>>
}

/** Makes `read`, which reads a key or joins a read of it, and `forget`, after which a read in progress is not joined any more. */
export const makeJoinedRead = <A, E>() => {
  const running = new Map<string, Running<A, E>>()
  const read = (key: string, alone: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(MonotonicClock.millis, (since) => {
        const other = running.get(key)
        if (other !== undefined && since - other.since < joinedFor) {
          return Effect.flatMap(restore(Deferred.await(other.exit)), (exit) =>
            // The caller that ran the read was interrupted.
            Exit.hasInterrupts(exit) ? restore(read(key, alone)) : exit
          )
        }
        const own: Running<A, E> = { since, exit: Deferred.makeUnsafe() }
        running.set(key, own)
        return Effect.onExit(restore(alone), (exit) =>
          Effect.sync(() => {
            if (running.get(key) === own) running.delete(key)
            Deferred.doneUnsafe(own.exit, Exit.succeed(exit))
          })
        )
      })
    )
  return { read, forget: (key: string): void => void running.delete(key) }
}
