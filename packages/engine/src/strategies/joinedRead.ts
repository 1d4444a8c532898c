/**
 * One read for all who ask for the same while it is under way: when something that is kept for a while runs out, hundreds of renewals may want
 * it in the same moment.
 *
 * **Gotchas**
 *
 * A read that takes longer than a second is not joined any more, since its connection may be lost. Whoever comes later reads anew.
 *
 * @module
 */
import { Deferred, Duration, Effect, Exit } from "effect"
import { monotonicMillis } from "../egress/timeLimit.ts"

const joinedFor = Duration.toMillis("1 second")

interface Running<A, E> {
  readonly since: number
  readonly exit: Deferred.Deferred<Exit.Exit<A, E>>
}

/** Makes the function that reads, or joins a read of the same key, and the one after which the reads under way are not joined any more. */
export const makeJoinedRead = <A, E>() => {
  const running = new Map<string, Running<A, E>>()
  const read = (key: string, alone: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(monotonicMillis, (since) => {
        const other = running.get(key)
        if (other !== undefined && since - other.since < joinedFor) {
          return Effect.flatMap(restore(Deferred.await(other.exit)), (exit) =>
            // Whoever read it has left.
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
