/**
 * Lets callers share a statement, on a database that is a round trip away.
 *
 * The requests of waiting callers are sent as one JSON document, and the statement returns rows. Each request is still decided alone, by
 * its own conditions within the statement. A request that the shared statement does not decide is sent again alone. This happens if its row
 * is locked (the shared statement skips it), if it is the second request about its row, and if one bad value fails the statement.
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
  /** The statement for one request. */
  readonly alone: (input: In) => Effect.Effect<A, Failure>
  /** The statement for many requests, of which no two have the same key. Returns the results of the decided ones, by key. */
  readonly together: (inputs: ReadonlyArray<In>) => Effect.Effect<ReadonlyMap<string, Exit.Exit<A, Failure>>, Failure>
  /** Whether all requests with the same key get the same answer, as reads do. */
  readonly answersAll: boolean
}

/** Whether single statements would fail too, because the database cannot be reached. */
const isConnectionFailure = (failure: Failure): boolean =>
  failure._tag === "SqlError" &&
  (failure.reason._tag === "ConnectionError" || failure.reason._tag === "AuthenticationError")

/** Makes the function that sends a request. Within a caller's transaction the request is sent alone, as a part of the transaction. */
export const shareStatement = <In, A>(
  sql: SqlClient.SqlClient,
  { alone, answersAll, key, together }: Shareable<In, A>
): ((input: In) => Effect.Effect<A, Failure>) => {
  const sendAlone = ({ answer, input }: Asked<In, A>) => Effect.map(Effect.exit(alone(input)), answer)
  const share = (batch: ReadonlyArray<Asked<In, A>>) => {
    const leading = new Map<string, Asked<In, A>>()
    for (const asked of batch) if (!leading.has(key(asked.input))) leading.set(key(asked.input), asked)
    /** Completes the decided requests, and sends the others one by one. */
    const complete = (decided: ReadonlyMap<string, Exit.Exit<A, Failure>>) => {
      const left = batch.filter((asked) => {
        const place = key(asked.input)
        const exit = answersAll || leading.get(place) === asked ? decided.get(place) : undefined
        if (exit === undefined) return true
        asked.answer(exit)
        return false
      })
      return Effect.forEach(left, sendAlone, { concurrency: "unbounded", discard: true })
    }
    return asFailure(together([...leading.values()].map(({ input }) => input))).pipe(
      Effect.match({
        onFailure: (failure) => {
          if (!isConnectionFailure(failure)) return complete(new Map())
          for (const { answer } of batch) answer(Exit.fail(failure))
          return Effect.void
        },
        onSuccess: complete
      })
    )
  }
  const ask = gather<In, A, Failure>((batch) => {
    const [first] = batch
    return batch.length === 1 && first !== undefined ? Effect.as(sendAlone(first), Effect.void) : share(batch)
  })
  const inCommon = outsideTransaction(sql)
  return (input) => inCommon(ask(input), alone(input))
}
