/**
 * The backend carried a refresh out, and its answer was lost. To send it again would spend a second grant. The retry policy therefore reads the
 * account first. The account was renewed, so the call succeeds without a second refresh.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Resilience } from "@rekindle/core"
import { Faults, ScriptedAccounts } from "@rekindle/testing"
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"
import { step } from "./support/Step.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** A backend that renews at once and answers an hour later. */
const slow = Faults.around(
  ScriptedAccounts.layer([ScriptedAccounts.account({ id, status: "EXPIRED", answers: [ScriptedAccounts.ready] })]),
  Faults.latency("1 hour", { side: "response" })
)

const refresh = ConnectedAccounts.use((accounts) => accounts.refresh(id))
const calls = Effect.flatMap(ScriptedAccounts.ScriptedAccounts, ({ callsFor }) => callsFor(id))
const around = (policy: Resilience.Policy) => Resilience.layer(policy).pipe(Layer.provideMerge(slow))

export const example = Effect.gen(function* () {
  yield* step(
    "with a timeout alone the caller cannot know what happened",
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.equal(error._tag, "DeadlineExceeded")
      assert.equal(error.disposition, "ambiguous")
    }).pipe(Effect.provide(around(Resilience.attemptTimeout("20 millis"))))
  )
  yield* step(
    "with retry around it the caller is Ready, and the refresh was sent once",
    Effect.gen(function* () {
      assert.equal((yield* refresh)._tag, "Ready")
      const operations = (yield* calls).map(({ operation }) => operation)
      assert.deepEqual(operations, ["refresh", "get"])
      return operations
    }).pipe(Effect.provide(around(Resilience.compose(Resilience.retry(), Resilience.attemptTimeout("20 millis"))))),
    (operations) => `the backend saw: ${operations.join(", ")}`
  )
})
