/**
 * `Resilience.standard` around a backend that fails twice, and a subscription that shows what the policies do.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Resilience } from "@rekindle/core"
import { Faults, ScriptedAccounts } from "@rekindle/testing"
import { Console, Effect, Layer, PubSub } from "effect"
import assert from "node:assert/strict"
import { step } from "./support/Step.ts"

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
const pipeline = Resilience.standard({ retry: { baseDelay: "5 millis" } })

/** The first call cannot connect, the second meets a 503, and the third succeeds. */
const badDay = Faults.around(
  ScriptedAccounts.layer([ScriptedAccounts.account({ id })]),
  Faults.schedule([{ _tag: "DropBeforeSend" }, { _tag: "Status", status: 503 }])
)

const Accounts = Resilience.layer(pipeline).pipe(Layer.provideMerge(badDay), Layer.provideMerge(Resilience.layerEvents))

export const example = Effect.gen(function* () {
  yield* Console.log(
    `  ${pipeline
      .describe()
      .map((stage) => stage.policy)
      .join(" → ")}`
  )
  const bus = yield* Resilience.Events
  assert.ok(bus !== undefined)
  const events = yield* bus.subscribe

  yield* step(
    "one refused connection and one 503 later, the caller is Ready",
    Effect.gen(function* () {
      assert.equal((yield* ConnectedAccounts.use((accounts) => accounts.refresh(id)))._tag, "Ready")
      const retries = (yield* PubSub.takeAll(events)).filter((event) => event._tag === "RetryScheduled")
      assert.deepEqual(
        retries.map(({ error }) => error),
        ["TransportError", "Unavailable"]
      )
      return retries
    }),
    (retries) => `retried after ${retries.map(({ error }) => error).join(" and ")}`
  )
}).pipe(Effect.scoped, Effect.provide(Accounts))
