/** The faults of auth configs that a process remembers. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import { type Evidence, make } from "#engine/renewal/Circuits.ts"
import { Effect } from "effect"
import { authConfig } from "../support/ScriptedEngine.ts"

describe("circuits", () => {
  it.effect("do not pile up with auth configs that failed: the oldest fault is forgotten", () =>
    Effect.gen(function* () {
      const { guard } = make()
      const meet = (config: string, account: number, evidence: Evidence) =>
        guard({
          config: authConfig(config),
          id: ConnectedAccountId.make(`ca_account${account}`),
          attempt: Effect.succeed("admitted"),
          evidence: () => evidence,
          refused: () => Effect.fail("refused")
        }).pipe(Effect.match({ onFailure: (reason) => reason, onSuccess: (result) => result }))
      const fault: Evidence = { _tag: "Fault", cause: "http_503" }
      for (const account of [1, 2, 3]) yield* meet("first", account, fault)
      assert.strictEqual(yield* meet("first", 4, fault), "refused")
      for (let other = 0; other < 1_000; other++) yield* meet(`other-${other}`, 1, fault)
      assert.strictEqual(yield* meet("first", 4, fault), "admitted")
    })
  )
})
