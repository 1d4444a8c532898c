/** The provider is down for an hour while hundreds of accounts are due. Nobody has to consent, and the recovery is no stampede. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { AccountStore, Renewer } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, DateTime, Effect, Redacted } from "effect"
import { authConfig, elapse, events, scenario, Wire } from "../support/ScriptedEngine.ts"

const minute = 60_000

/** Accounts whose access tokens expire in the middle of the outage. */
const connectAll = Effect.fnUntraced(function* (population: number) {
  const connections = yield* Connections
  const provider = yield* ScriptedProvider.ScriptedProvider
  yield* connections.authConfigs.register(authConfig("scripted"))
  const now = yield* Clock.currentTimeMillis
  for (let count = 0; count < population; count++) {
    const { accessToken, refreshToken } = yield* provider.connect
    yield* connections.create({
      authConfigId: "scripted",
      userId: `user ${count}`,
      secrets: { access_token: Redacted.make(accessToken), refresh_token: Redacted.make(refreshToken) },
      expiresAt: DateTime.makeUnsafe(now + 30 * minute)
    })
  }
})

const outages: ReadonlyArray<
  readonly [name: string, fault: ScriptedProvider.Fault, mostSends: number, population: number]
> = [
  // Sixteen at a time until the third failing account opens the circuit. Then one probe for each pause, and a few by accounts that have met
  // the outage already.
  ["answers 503", ScriptedProvider.unavailable(), 16 + 14 + 3600 / 160, 400],
  ["refuses connections", { _tag: "ConnectionRefused" }, 3 * (16 + 14 + 3600 / 160), 200],
  ["answers nothing", { _tag: "NoAnswer", applied: false }, 2 * (16 + 14 + 3600 / 160), 200]
]

describe("a provider that for an hour", () => {
  for (const [name, fault, mostSends, population] of outages) {
    it.effect(
      `${name} costs none of ${population} accounts, at most ${Math.ceil(mostSends)} requests, and is met by no crowd afterwards`,
      () =>
        Effect.gen(function* () {
          const provider = yield* ScriptedProvider.ScriptedProvider
          const store = yield* AccountStore
          const wire = yield* Wire
          yield* connectAll(population)
          // Due five minutes before their end. The provider is down by then.
          yield* elapse("24 minutes", "2 minutes")
          yield* provider.outage(fault, "1 hour")
          yield* Effect.gen(function* () {
            yield* elapse("1 hour", "5 seconds")
            assert.deepStrictEqual((yield* store.counts(0)).byStatus, { ACTIVE: population })
            assert.deepStrictEqual(yield* events, [])
            assert.isAtMost(wire.sent.length, mostSends)
            assert.isAtLeast(wire.sent.length, 10, "somebody looked whether it is back")

            const perSecond: Array<number> = []
            let granted = 0
            for (let second = 0; second < 15 * 60 && granted < population; second++) {
              yield* elapse("1 second", "1 second")
              const now = (yield* provider.counts).granted
              perSecond.push(now - granted)
              granted = now
            }
            assert.strictEqual(granted, population)
            // The provider's limit is 20 a second, with a burst of as many.
            assert.isAtMost(Math.max(...perSecond), 40, "no second with more than the provider's limit and burst")
            yield* elapse("5 seconds")
            assert.deepStrictEqual((yield* store.counts(0)).byStatus, { ACTIVE: population })
            assert.deepInclude(yield* provider.counts, { granted: population, replays: 0, revokedGrants: 0 })
            assert.lengthOf(
              (yield* events).filter((type) => type === "renewed"),
              population
            )
          }).pipe(Effect.provide(Renewer.layer()))
        }).pipe(scenario())
    )
  }
})
