/**
 * Answers that arrive after the time limit of their request.
 *
 * A request without an answer in time may still have been carried out. Then its answer has the only token that works. So its connection
 * stays open, and the tokens of a late answer are committed like any others. The request is followed until its lease ends. After that
 * another process may send the same token again, and the answer would be void.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Deferred, Duration, Effect, Exit, Fiber, FiberSet, Latch, Option, type Scope } from "effect"
import type { Observation } from "../answer/Verdict.ts"
import type { TakeOver } from "../egress/Passage.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"

/** The overdue requests of one attempt. */
export interface Overdue<A> {
  readonly takeOver: TakeOver
  /** Whether an answer may still arrive. */
  readonly isOpen: () => boolean
  /** The result of the commit, once late tokens are committed. */
  readonly kept: Deferred.Deferred<A>
  /** Whether an answer has arrived that is being judged and committed, or has been committed. The sent token is then spent. */
  readonly hasCome: () => boolean
  /** Waits while an answer is being judged and committed. */
  readonly settled: Effect.Effect<void>
  /** Runs the effect when no answer can arrive any more, and those that arrived are committed. It runs now if that is already so. */
  readonly whenOver: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** Follows the overdue requests of an attempt until a time in monotonic milliseconds. `keep` commits the tokens of an answer. */
export type LateAnswers = <A>(
  until: number,
  keep: (observation: Observation) => Effect.Effect<Option.Option<A>>
) => Overdue<A>

/**
 * The shortest time that an overdue request is followed, in milliseconds. If its time is already over when that begins, the process has stood
 * still, and the answer may have arrived meanwhile. It is read in this time.
 */
const shortest = 100

/** Makes `LateAnswers`. When the scope closes, open requests get `grace` to finish. */
export const makeLateAnswers = Effect.fnUntraced(function* (
  grace: Duration.Duration
): Effect.fn.Return<LateAnswers, never, Scope.Scope> {
  const following = yield* FiberSet.make<void>()
  const run = yield* FiberSet.runtime(following)()
  const limited = makeTimeLimit()
  yield* Effect.addFinalizer(() => limited(FiberSet.awaitEmpty(following), grace, () => Effect.void))

  return <A>(until: number, keep: (observation: Observation) => Effect.Effect<Option.Option<A>>): Overdue<A> => {
    const kept = Deferred.makeUnsafe<A>()
    let ended = Deferred.makeUnsafe<void>()
    let open = 0
    let keeping = 0
    const atRest = Latch.makeUnsafe(true)

    const keepOne = (observation: Observation) =>
      Effect.suspend(() => {
        keeping++
        atRest.closeUnsafe()
        return keep(observation).pipe(
          Effect.map((made) => {
            if (Option.isSome(made)) Deferred.doneUnsafe(kept, Exit.succeed(made.value))
          }),
          Effect.ensuring(
            Effect.sync(() => {
              if (--keeping === 0) atRest.openUnsafe()
            })
          )
        )
      })

    const follow = (request: Fiber.Fiber<Observation>) =>
      Effect.flatMap(MonotonicClock.millis, (now) =>
        limited(Fiber.await(request), Duration.millis(Math.max(shortest, until - now)), () => Effect.undefined)
      ).pipe(
        Effect.flatMap((exit) => (exit !== undefined && Exit.isSuccess(exit) ? keepOne(exit.value) : Effect.void)),
        Effect.ensuring(
          Effect.sync(() => {
            request.interruptUnsafe()
            if (--open === 0) Deferred.doneUnsafe(ended, Exit.void)
          })
        )
      )

    return {
      takeOver: (request) => {
        if (open++ === 0) ended = Deferred.makeUnsafe()
        run(follow(request))
      },
      isOpen: () => open > 0,
      kept,
      hasCome: () => keeping > 0 || Deferred.isDoneUnsafe(kept),
      settled: atRest.await,
      whenOver: (effect) =>
        Effect.suspend(() =>
          open === 0 ? effect : Effect.sync(() => void run(Effect.andThen(Deferred.await(ended), effect)))
        )
    }
  }
})
