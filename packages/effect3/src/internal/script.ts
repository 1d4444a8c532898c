/**
 * The script of Effect 3 as one of Effect 4, and the controls of that one as those of Effect 3.
 *
 * @module
 */
import type { ScriptedAccounts as Script4 } from "@rekindle/testing"
import { Effect, identity } from "effect"
import type { Effect as Effect4 } from "effect4"
import type {
  RecordedCall,
  ScriptedAccount,
  ScriptedAccounts,
  ScriptedCall,
  ScriptedRead,
  ScriptedRefresh
} from "../ScriptedAccounts.ts"
import { exitToThree, infallible, toFour, toThree } from "./bridge.ts"
import {
  accountToFour,
  accountToThree,
  errorToFour,
  errorToThree,
  idToThree,
  outcomeToFour,
  outcomeToThree,
  refreshOptionsToThree,
  statusToFour,
  timeToThree
} from "./values.ts"

const callToThree = ({ account, count, id, options }: Script4.ScriptedCall): ScriptedCall => ({
  id: idToThree(id),
  options: options === undefined ? undefined : refreshOptionsToThree(options),
  account: accountToThree(account),
  count
})

const refreshToFour =
  (answer: ScriptedRefresh): Script4.ScriptedRefresh =>
  (call) =>
    toFour(
      Effect.suspend(() => {
        const given = typeof answer === "function" ? answer(callToThree(call)) : answer
        if (given instanceof Error) return Effect.fail(given)
        return Effect.isEffect(given) ? given : Effect.succeed(given)
      }),
      errorToFour,
      outcomeToFour
    )

const readToFour =
  (answer: ScriptedRead): Script4.ScriptedRead =>
  (call) =>
    toFour(
      Effect.suspend(() => {
        const given = typeof answer === "function" ? answer(callToThree(call)) : answer
        if (given instanceof Error) return Effect.fail(given)
        return Effect.isEffect(given) ? given : Effect.succeed(given)
      }),
      errorToFour,
      accountToFour
    )

export const scriptToFour = ({ answers, reads, record }: ScriptedAccount): Script4.ScriptedAccount => ({
  record: accountToFour(record),
  answers: answers.map(refreshToFour),
  reads: reads.map(readToFour)
})

const callToRecord = ({ at, exit, id, operation, options }: Script4.RecordedCall): RecordedCall => ({
  operation,
  id: idToThree(id),
  options: options === undefined ? undefined : refreshOptionsToThree(options),
  at: timeToThree(at),
  exit:
    exit === undefined
      ? undefined
      : exitToThree(exit, (value) => ("_tag" in value ? outcomeToThree(value) : accountToThree(value)), errorToThree)
})

export const controls = (script: Script4.ScriptedAccounts["Service"]): ScriptedAccounts["Type"] => {
  const run = <A>(effect: Effect4.Effect<A>) => toThree(effect, infallible, identity)
  return {
    calls: Effect.map(run(script.calls), (calls) => calls.map(callToRecord)),
    callsFor: (id) => Effect.map(run(script.callsFor(id)), (calls) => calls.map(callToRecord)),
    push: (id, ...answers) => run(script.push(id, ...answers.map(refreshToFour))),
    put: (account) => run(script.put(scriptToFour(account))),
    records: Effect.map(run(script.records), (records) => records.map(accountToThree)),
    remove: (id) => run(script.remove(id)),
    setStatus: (id, status, reason) => run(script.setStatus(id, statusToFour(status), reason)),
    reset: run(script.reset)
  }
}
