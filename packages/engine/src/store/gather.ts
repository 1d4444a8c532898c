/**
 * Batches requests. Requests that arrive while a batch is in flight form the next batch. Without a batch in flight, a request is sent at
 * once, as a batch of one. So the size of the batches grows with the load of the database.
 *
 * **Gotchas**
 *
 * A caller that is interrupted neither stops the batch nor removes its request from it. A batch runs in the context of its first caller.
 *
 * @module
 */
import { Context, Deferred, Duration, Effect, Exit, Request, RequestResolver } from "effect"

interface Asked<In, A, E> extends Request.Request<A, E> {
  readonly input: In
}

/** The maximum number of requests in a batch. Further requests are sent in another batch at the same time. */
const batchSize = 100

/** How long the next batch waits for the one in flight. A slow batch may wait for a lock, or have lost its connection. */
const patience = Duration.millis(100)

/** The same for background work. It is longer, so that background work leaves the connections of a slow database to callers. */
const patienceInBackground = Duration.seconds(2)

/**
 * Whether requests are background work, for which no caller waits. They are batched separately, one batch at a time, so that callers find
 * free connections on a slow database.
 */
export const InBackground = Context.Reference<boolean>("@rekindle/engine/InBackground", { defaultValue: () => false })

const oneKey = () => "all"

/** A request of a batch. */
export interface Member<In, A, E> {
  readonly input: In
  readonly answer: (exit: Exit.Exit<A, E>) => void
}

/**
 * Makes a function that batches requests. `run` answers the members of a batch. The effect that it returns runs afterwards, for members
 * that take longer, and the next batch does not wait for it. A member that has no answer when that effect ends gets a defect.
 */
export const gather = <In, A, E>(run: Run<In, A, E>): ((input: In) => Effect.Effect<A, E>) => {
  const forCallers = queue(run, patience)
  const inBackground = queue(run, patienceInBackground)
  return (input) => Effect.flatMap(InBackground, (isBackground) => (isBackground ? inBackground : forCallers)(input))
}

type Run<In, A, E> = (members: ReadonlyArray<Member<In, A, E>>) => Effect.Effect<Effect.Effect<void>>

const queue = <In, A, E>(run: Run<In, A, E>, patience: Duration.Duration): ((input: In) => Effect.Effect<A, E>) => {
  let inFlight = 0
  let idle = Deferred.makeUnsafe<void>()
  const settled = Effect.suspend(() => (inFlight === 0 ? Effect.void : Deferred.await(idle)))
  const batchEnded = Effect.sync(() => {
    if (--inFlight > 0) return
    Deferred.doneUnsafe(idle, Exit.void)
    idle = Deferred.makeUnsafe()
  })
  const asked = Request.of<Asked<In, A, E>>()
  const resolver = RequestResolver.makeWith<Asked<In, A, E>>({
    batchKey: oneKey,
    preCheck: (entry) => {
      entry.uninterruptible = true
      return true
    },
    delay: Effect.suspend(() =>
      inFlight === 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(settled, patience))
    ),
    collectWhile: (entries) => entries.size < batchSize,
    runAll: (entries) =>
      Effect.suspend(() => {
        inFlight++
        return run(
          entries.map((entry) => ({ input: entry.request.input, answer: (exit) => entry.completeUnsafe(exit) }))
        )
      }).pipe(Effect.ensuring(batchEnded), Effect.flatten)
  })
  return (input) => Effect.request(asked({ input }), resolver)
}
