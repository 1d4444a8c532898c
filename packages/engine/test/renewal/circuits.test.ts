/** The faults of auth configs that a process remembers. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { type Evidence, make } from "#engine/renewal/Circuits.ts"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { authConfig } from "../support/ScriptedEngine.ts"

describe("circuits", () => {
  it.effect("do not pile up with auth configs that failed: the oldest fault is forgotten", () =>
    Effect.gen(function* () {
      const { guard } = make()
      const meet = (config: string, account: number, evidence: Evidence) =>
        guard({
          config: authConfig(config),
          id: ConnectedAccountId.make(`ca_account${account}`),
          attempt: (learn) => Effect.as(learn(evidence), "admitted"),
          refused: () => Effect.fail("refused")
        }).pipe(Effect.match({ onFailure: (reason) => reason, onSuccess: (result) => result }))
      const fault: Evidence = { _tag: "Fault", cause: "http_503" }
      for (const account of [1, 2, 3]) yield* meet("first", account, fault)
      assert.strictEqual(yield* meet("first", 4, fault), "refused")
      for (let other = 0; other < 1_000; other++) yield* meet(`other-${other}`, 1, fault)
      assert.strictEqual(yield* meet("first", 4, fault), "admitted")
    })
  )

  it.effect("are shown while they are open, with their last fault and when they are tried again", () =>
    Effect.gen(function* () {
      const circuits = make()
      const meet = (account: number, evidence: Evidence) =>
        circuits.guard({
          config: authConfig("shown"),
          id: ConnectedAccountId.make(`ca_account${account}`),
          attempt: (learn) => learn(evidence),
          refused: () => Effect.fail("refused")
        })
      for (const account of [1, 2]) yield* meet(account, { _tag: "Fault", cause: "http_503" })
      assert.deepStrictEqual(yield* circuits.open, [])
      yield* meet(3, { _tag: "Fault", cause: "http_502" })
      yield* TestClock.adjust("2 seconds")
      const [open, ...others] = yield* circuits.open
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(open, {
        projectId: authConfig("shown").projectId,
        authConfigId: "shown",
        cause: "http_502",
        accounts: 3,
        openFor: Duration.seconds(2),
        retryAfter: Duration.seconds(3)
      })
      yield* TestClock.adjust("4 seconds")
      yield* meet(4, { _tag: "Well" })
      assert.deepStrictEqual(yield* circuits.open, [])
    })
  )
})
