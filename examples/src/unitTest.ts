/**
 * Code that uses `ConnectedAccounts` is tested with another layer: without a server, without sleeping, and with any answer.
 * `test/unitTest.test.ts` does the same in a test runner.
 *
 * @module
 */
import { ConnectedAccountId, ConnectedAccounts, Unavailable } from "@rekindle/core"
import { ScriptedAccounts } from "@rekindle/testing"
import { Effect } from "effect"
import assert from "node:assert/strict"
import { step } from "./support/Step.ts"

/** The code under test: the banner of a mail client. */
export const banner = Effect.fnUntraced(
  function* (id: ConnectedAccountId) {
    const accounts = yield* ConnectedAccounts
    const outcome = yield* accounts.refresh(id)
    return outcome._tag === "Ready" ? "" : outcome._tag === "RedirectRequired" ? "Please reconnect" : "Disconnected"
  },
  Effect.catchTag("Unavailable", () => Effect.succeed("Trying again soon"))
)

const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")

/** The banner for an answer of the service. */
const bannerFor = (answer: ScriptedAccounts.ScriptedRefresh) =>
  Effect.provide(banner(id), ScriptedAccounts.layer([ScriptedAccounts.account({ id, answers: [answer] })]))

export const example = step(
  "the code under test meets four answers, and no network",
  Effect.gen(function* () {
    assert.equal(yield* bannerFor(ScriptedAccounts.ready), "")
    assert.equal(yield* bannerFor(ScriptedAccounts.redirectRequired()), "Please reconnect")
    assert.equal(yield* bannerFor(ScriptedAccounts.notReady("FAILED")), "Disconnected")
    assert.equal(yield* bannerFor(new Unavailable({ message: "busy" })), "Trying again soon")
  })
)
