/** Verdicts that depend on more than the decision table. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import type { AuthStrategy } from "@rekindle/engine/AuthStrategy"
import * as Credential from "@rekindle/engine/Credential"
import { decideRenewal } from "#engine/renewal/judge.ts"
import { Effect } from "effect"
import { authConfig } from "../support/ScriptedEngine.ts"

const receivedAt = Date.UTC(2026, 10, 1)

const verdict = (statesTime: boolean, date: Date | undefined) => {
  const strategy: AuthStrategy = {
    scheme: "GOOGLE_SERVICE_ACCOUNT",
    check: () => Effect.succeed([]),
    renewal: { statesTime, spends: () => undefined, send: () => Effect.die("not used here") }
  }
  const connection = {
    accountId: ConnectedAccountId.make("ca_4CkFF_cKATwg"),
    config: authConfig("robots"),
    credential: Credential.empty
  }
  const observation = {
    _tag: "Answer",
    status: 400,
    contentType: "application/json",
    retryAfter: undefined,
    body: JSON.stringify({ error: "invalid_grant" }),
    receivedAt,
    headers: date === undefined ? {} : { date: date.toUTCString() }
  } as const
  return decideRenewal(strategy, connection, observation)
}

describe("invalid_grant for an assertion", () => {
  const minutes = (count: number) => new Date(receivedAt + count * 60_000)

  for (const off of [-10, 10]) {
    it(`kills no credential while this machine's clock is off by ${off} minutes`, () => {
      assert.deepStrictEqual(verdict(true, minutes(off)), { _tag: "Misconfigured", code: "clock_off" })
    })
  }

  it("is the end of the credential where the clock is right, or the provider does not tell the time", () => {
    assert.strictEqual(verdict(true, minutes(0))._tag, "Dead")
    assert.strictEqual(verdict(true, undefined)._tag, "Dead")
  })

  it("is the end of a grant whatever the clock says", () => {
    assert.strictEqual(verdict(false, minutes(10))._tag, "Dead")
  })
})
