/**
 * A circuit breaker opens when the backend keeps failing, refuses calls while it is open, and closes when a probe succeeds. On the test clock
 * the minute passes at once.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Resilience } from "@rekindle/core"
import { Faults, ScriptedAccounts } from "@rekindle/testing"
import { Effect, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import assert from "node:assert/strict"
import { step } from "./support/Step.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const outage = Faults.schedule(Array.from({ length: 3 }, () => ({ _tag: "Status", status: 503 })))
const breaker = Resilience.circuitBreaker({ tripPolicy: CircuitBreaker.consecutive(3), openDuration: "1 minute" })

const Accounts = Resilience.layer(breaker).pipe(
  Layer.provideMerge(Faults.around(ScriptedAccounts.layer([ScriptedAccounts.account({ id })]), outage)),
  Layer.provideMerge(TestClock.layer())
)

const refresh = ConnectedAccounts.use((accounts) => accounts.refresh(id))

export const example = Effect.gen(function* () {
  yield* step(
    "three failures in a row reach the backend and open the circuit",
    Effect.gen(function* () {
      for (let call = 1; call <= 3; call++) assert.equal((yield* Effect.flip(refresh))._tag, "Unavailable")
    })
  )
  yield* step(
    "while it is open a call fails at once, and was provably not sent",
    Effect.gen(function* () {
      const error = yield* Effect.flip(refresh)
      assert.ok(error._tag === "RefusedLocally" && error.reason === "circuit-open")
      assert.equal(error.disposition, "not-sent")
    })
  )
  yield* step(
    "a minute later a probe goes through, succeeds, and closes it",
    Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      assert.equal((yield* refresh)._tag, "Ready")
      assert.equal((yield* refresh)._tag, "Ready")
    })
  )
}).pipe(Effect.provide(Accounts))
