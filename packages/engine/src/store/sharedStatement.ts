/**
 * Lets callers share a statement, on a database that is a round trip away.
 *
 * The requests of waiting callers go out as one JSON document, and rows come back. Each request is still decided alone, by conditions of its own
 * within the statement. A request that the shared statement does not decide is sent again by itself, in the form for one caller. This happens
 * for a row that is locked (the shared statement skips it), for a second request about the same row, and when one bad value fails the
 * statement.
 *
 * @module
 */
import { Effect, Exit, type Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { gather, type Member } from "./gather.ts"
import { outsideTransaction } from "./outsideTransaction.ts"
import { asFailure } from "./rows.ts"

type Failure = SqlError.SqlError | Schema.SchemaError

type Asked<In, A> = Member<In, A, Failure>

/** A kind of request that callers can share a statement for. */
export interface Shareable<In, A> {
  /** The row that the request is about. */
  readonly key: (input: In) => string
  /** The statement of one caller alone. */
  readonly alone: (input: In) => Effect.Effect<A, Failure>
  /** The statement of many, no two of one key: the exits that it decided, by key. */
  readonly together: (inputs: ReadonlyArray<In>) => Effect.Effect<ReadonlyMap<string, Exit.Exit<A, Failure>>, Failure>
  /** Whether requests of one key get one answer, as reads do. */
  readonly answersAll: boolean
}

/** Whether single statements would fail too, because the database cannot be reached. */
const isEverybodys = (failure: Failure): boolean =>
  failure._tag === "SqlError" &&
  (failure.reason._tag === "ConnectionError" || failure.reason._tag === "AuthenticationError")

/** Makes the function that sends a request. Within a caller's transaction it sends it alone, as a part of the transaction. */
export const shareStatement = <In, A>(
  sql: SqlClient.SqlClient,
  { alone, answersAll, key, together }: Shareable<In, A>
): ((input: In) => Effect.Effect<A, Failure>) => {
  const askAlone = ({ answer, input }: Asked<In, A>) => Effect.map(Effect.exit(alone(input)), answer)
  const share = (batch: ReadonlyArray<Asked<In, A>>) => {
    const leading = new Map<string, Asked<In, A>>()
    for (const asked of batch) if (!leading.has(key(asked.input))) leading.set(key(asked.input), asked)
    /** Completes the decided requests, and sends the others one by one. */
    const tell = (decided: ReadonlyMap<string, Exit.Exit<A, Failure>>) => {
      const left = batch.filter((asked) => {
        const place = key(asked.input)
        const exit = answersAll || leading.get(place) === asked ? decided.get(place) : undefined
        if (exit === undefined) return true
        asked.answer(exit)
        return false
      })
      return Effect.forEach(left, askAlone, { concurrency: "unbounded", discard: true })
    }
    return asFailure(together([...leading.values()].map(({ input }) => input))).pipe(
      Effect.match({
        onFailure: (failure) => {
          if (!isEverybodys(failure)) return tell(new Map())
          for (const { answer } of batch) answer(Exit.fail(failure))
          return Effect.void
        },
        onSuccess: tell
      })
    )
  }
  const ask = gather<In, A, Failure>((batch) => {
    const [first] = batch
    return batch.length === 1 && first !== undefined ? Effect.as(askAlone(first), Effect.void) : share(batch)
  })
  const inCommon = outsideTransaction(sql)
  return (input) => inCommon(ask(input), alone(input))
}
