/**
 * What is asked while a batch is out leaves together, as the next one. Nobody waits for company: with none out, a batch of one leaves at
 * once. So the busier the database, the larger the batches.
 *
 * **Gotchas**
 *
 * A caller who leaves neither stops the batch nor takes its request out of it. A batch runs in the context of the first who asked.
 *
 * @module
 */
import { Context, Deferred, Duration, Effect, Exit, Request, RequestResolver } from "effect"

interface Asked<In, A, E> extends Request.Request<A, E> {
  readonly input: In
}

/** The largest batch. What is asked beyond it leaves in another one, at the same time. */
const batchSize = 100

/** A batch that takes long, since it waits for a lock or its connection is lost, keeps the next one waiting for no longer than this. */
const patience = Duration.millis(100)

/** The same for work in the background: on a slow database it must not take the connections that callers wait for. */
const patienceInBackground = Duration.seconds(2)

/**
 * Whether nobody waits for what is asked. Such requests share batches of their own, one at a time, so that on a slow database callers find
 * connections free.
 */
export const InBackground = Context.Reference<boolean>("@rekindle/engine/InBackground", { defaultValue: () => false })

const oneKey = () => "all"

/** A request of a batch. */
export interface Member<In, A, E> {
  readonly input: In
  readonly answer: (exit: Exit.Exit<A, E>) => void
}

/**
 * Gathers requests. `run` answers the members of a batch. What it gives is run afterwards, for those that take longer: the next batch does not
 * wait for it. A member that nobody has answered by then has a defect for an answer.
 */
export const gather = <In, A, E>(run: Run<In, A, E>): ((input: In) => Effect.Effect<A, E>) => {
  const forCallers = queue(run, patience)
  const inBackground = queue(run, patienceInBackground)
  return (input) => Effect.flatMap(InBackground, (isBackground) => (isBackground ? inBackground : forCallers)(input))
}

type Run<In, A, E> = (members: ReadonlyArray<Member<In, A, E>>) => Effect.Effect<Effect.Effect<void>>

const queue = <In, A, E>(run: Run<In, A, E>, patience: Duration.Duration): ((input: In) => Effect.Effect<A, E>) => {
  let out = 0
  let idle = Deferred.makeUnsafe<void>()
  const settled = Effect.suspend(() => (out === 0 ? Effect.void : Deferred.await(idle)))
  const back = Effect.sync(() => {
    if (--out > 0) return
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
    delay: Effect.suspend(() => (out === 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(settled, patience)))),
    collectWhile: (entries) => entries.size < batchSize,
    runAll: (entries) =>
      Effect.suspend(() => {
        out++
        return run(
          entries.map((entry) => ({ input: entry.request.input, answer: (exit) => entry.completeUnsafe(exit) }))
        )
      }).pipe(Effect.ensuring(back), Effect.flatten)
  })
  return (input) => Effect.request(asked({ input }), resolver)
}
