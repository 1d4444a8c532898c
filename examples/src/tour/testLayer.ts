/**
 * One program with two providers of its service: our server over HTTP, and a script in memory.
 *
 * @module
 */
import { type ConnectedAccountId, ConnectedAccounts, RefreshOutcome } from "@rekindle/core"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect } from "effect"
import assert from "node:assert/strict"
import { step } from "../support/Step.ts"

/** The program. It depends on the service and not on its provider. */
const program = Effect.fnUntraced(function* (id: ConnectedAccountId) {
  const accounts = yield* ConnectedAccounts
  return RefreshOutcome.match(yield* accounts.refresh(id), {
    Ready: () => "go on",
    RedirectRequired: () => "show the link",
    NotReady: ({ status }) => `not usable: ${status}`
  })
})

export const testLayer = (id: ConnectedAccountId) =>
  step(
    "the same program runs over HTTP and on the test layer",
    Effect.gen(function* () {
      const overHttp = yield* program(id)
      const onScript = yield* Effect.provide(program(id), ScriptedAccounts.layer([ScriptedAccounts.account({ id })]))
      assert.equal(overHttp, "go on")
      assert.equal(onScript, overHttp)
      return onScript
    }),
    (answer) => `both answered "${answer}"`
  )
