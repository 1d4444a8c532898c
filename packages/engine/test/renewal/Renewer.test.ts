/** Background renewal: when it happens, how often, in which process, and when it stops. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { AccountStore, Renewer, type RenewerOptions, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { InBackground } from "#engine/store/gather.ts"
import { Context, DateTime, Duration, Effect, Layer, Logger, Metric, Option, Random, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import {
  authConfig,
  beginning,
  connected,
  elapse,
  events,
  refresh,
  rest,
  scenario,
  stored,
  Wire
} from "../support/ScriptedEngine.ts"

const { ScriptedProvider: Provider } = ScriptedProvider

/** Starts a renewer in the scope of the test. */
const renewing = (options?: RenewerOptions) =>
  Effect.map(Layer.build(Renewer.layer(options)), (context) => Context.get(context, Renewer))

describe("the renewer", () => {
  it.effect("renews before expiry, by the margin and a jitter, and again before the next one", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      const { expiresAt, id } = yield* connected({ profile: { margin: Duration.minutes(5) } })
      const renewer = yield* renewing()
      const lifetime = expiresAt - beginning
      // The margin of 5 minutes, and at most a tenth of the other 55.
      yield* elapse(lifetime - 11 * 60_000, "1 minute")
      assert.strictEqual((yield* provider.counts).granted, 0)
      yield* elapse("7 minutes", "10 seconds")
      assert.strictEqual((yield* provider.counts).granted, 1)
      assert.isAbove((yield* stored(id)).expiresAt ?? 0, expiresAt)
      yield* elapse(lifetime, "1 minute")
      assert.strictEqual((yield* provider.counts).granted, 2)
      assert.deepInclude(yield* renewer.progress, { claimed: 2, outstanding: 0, ended: { Renewed: 2 } })
      assert.deepStrictEqual(yield* events, ["renewed", "renewed"])
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("spreads the renewals of accounts that were connected together", () =>
    Effect.gen(function* () {
      const accounts = yield* Effect.forEach(Array.from({ length: 50 }), () => connected())
      // the first renewal gives each its own time
      yield* Effect.forEach(accounts, ({ id }) => refresh(id))
      const times = yield* Effect.forEach(accounts, ({ id }) => Effect.map(stored(id), ({ renewAt }) => renewAt ?? 0))
      assert.strictEqual(new Set(times).size, times.length)
      assert.isAbove(Math.max(...times) - Math.min(...times), 60_000)
    }).pipe(scenario(), Random.withSeed("spread"))
  )

  it.effect("uses a refresh token before it dies of disuse, though the access token never expires", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      const { id } = yield* connected({ profile: { refreshTokenIdle: Duration.days(90), accessTokenTtl: "never" } })
      yield* provider.outage({ _tag: "AmendedAnswer", drop: ["expires_in"] }, "1000 days")
      yield* refresh(id)
      assert.isNull((yield* stored(id)).expiresAt)
      yield* renewing({ pollInterval: "6 hours", recoveryInterval: "1 day" })
      yield* elapse("50 days", "6 hours")
      assert.strictEqual((yield* provider.counts).granted, 1)
      yield* elapse("15 days", "6 hours")
      assert.strictEqual((yield* provider.counts).granted, 2)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("two of them on one database renew each account once", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      yield* Effect.forEach(Array.from({ length: 40 }), () => connected({ expired: true }))
      const [one, two] = [yield* renewing({ maxClaimed: 7 }), yield* renewing({ maxClaimed: 7 })]
      yield* elapse("1 minute")
      const [first, second] = [yield* one.progress, yield* two.progress]
      assert.strictEqual((yield* provider.counts).granted, 40)
      assert.strictEqual((yield* provider.counts).replays, 0)
      assert.strictEqual(first.claimed + second.claimed, 40)
      assert.isAbove(first.claimed, 0)
      assert.isAbove(second.claimed, 0)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("stays within the provider's rate, and does not hold back another provider's accounts", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      yield* Effect.forEach(Array.from({ length: 30 }), () =>
        connected({ expired: true, configId: "slow", profile: { name: "slow", requestsPerSecond: 1 } })
      )
      const quick = yield* Effect.forEach(Array.from({ length: 30 }), () =>
        connected({ expired: true, configId: "quick", profile: { name: "quick", requestsPerSecond: 100 } })
      )
      yield* renewing({ concurrency: 4 })
      yield* elapse("5 seconds", "500 millis")
      assert.isTrue(quick.every(({ refreshToken }) => wire.sent.includes(refreshToken)))
      assert.isAtMost(wire.sent.length, 30 + 7)
      yield* elapse("30 seconds", "500 millis")
      assert.strictEqual(wire.sent.length, 60)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("renews the accounts of one provider while a slow one has hundreds that were due before", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      const slow = yield* Effect.forEach(Array.from({ length: 600 }), () =>
        connected({ expired: true, configId: "slow", profile: { name: "slow" } })
      )
      yield* TestClock.adjust("1 second")
      const others = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        connected({ expired: true, configId: "other", profile: { name: "other" } })
      )
      const slowTokens = new Set(slow.map(({ refreshToken }) => refreshToken))
      wire.meets = (token) => (slowTokens.has(token) ? Effect.delay(Effect.undefined, "7 seconds") : Effect.undefined)
      yield* renewing()
      yield* elapse("40 seconds")
      assert.isTrue(others.every(({ refreshToken }) => wire.sent.includes(refreshToken)))
      assert.isAbove(wire.sent.length, 10 + 16, "the slow provider goes on too")
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("leaves the accounts of a disabled auth config alone, and renews them once it is enabled", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const wire = yield* Wire
      const { id } = yield* connected({ expired: true })
      yield* connections.authConfigs.disable("scripted")
      yield* renewing()
      yield* elapse("10 minutes")
      assert.lengthOf(wire.sent, 0)
      assert.strictEqual((yield* stored(id)).status, "ACTIVE")
      assert.isNotNull((yield* stored(id)).renewAt)
      yield* connections.authConfigs.enable("scripted")
      yield* elapse("10 seconds")
      assert.lengthOf(wire.sent, 1)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("does not pause between full claims: a backlog without a limit is gone within one poll interval", () =>
    Effect.gen(function* () {
      const wire = yield* Wire
      yield* Effect.forEach(Array.from({ length: 250 }), () =>
        connected({ expired: true, profile: { requestsPerSecond: 10_000 } })
      )
      yield* renewing({ pollInterval: "10 minutes" })
      // Accounts that were connected together are due together, and the first poll finds all of them.
      yield* elapse("2 seconds", "50 millis")
      assert.lengthOf(wire.sent, 250)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("looks once in each poll interval while nothing is due, and claims nothing", () => {
    const asked = { looks: 0, claims: 0 }
    return Effect.gen(function* () {
      yield* connected()
      yield* renewing({ pollInterval: "5 seconds" })
      yield* elapse("10 minutes", "1 second")
      assert.strictEqual(asked.claims, 0)
      assert.isAtMost(asked.looks, 160)
      assert.isAtLeast(asked.looks, 90)
    }).pipe(
      Effect.scoped,
      scenario({
        store: (store) => ({
          ...store,
          dueConfigs: (now) => Effect.suspend(() => (asked.looks++, store.dueConfigs(now))),
          claimDue: (request) => Effect.suspend(() => (asked.claims++, store.claimDue(request)))
        })
      })
    )
  })

  it.effect("says once that it does not keep up, and how far it is behind, until it is over", () => {
    const logged: Array<string> = []
    const said = (what: string) => logged.filter((line) => line.includes(what)).length
    return Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 200 }), () =>
        connected({ expired: true, profile: { requestsPerSecond: 0.5 } })
      )
      const behind = Effect.map(
        Metric.snapshot,
        (snapshot) => snapshot.find(({ id }) => id === "rekindle.renewer.oldest_due")?.state
      )
      yield* renewing()
      yield* elapse("160 seconds")
      assert.deepStrictEqual([said("does not keep up"), said("keeps up")], [1, 0])
      assert.isTrue(
        logged.some((line) => line.includes("requestsPerSecond") && line.includes('"authConfigId":"scripted"'))
      )
      const state = yield* behind
      assert.isTrue(state !== undefined && "value" in state && Number(state.value) >= 150_000)
      yield* elapse("5 minutes")
      assert.deepStrictEqual([said("does not keep up"), said("keeps up")], [1, 1])
      assert.deepInclude(yield* behind, { value: 0 })
    }).pipe(
      Effect.scoped,
      Effect.provideService(Metric.MetricRegistry, new Map()),
      scenario(),
      Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(JSON.stringify(message)))]))
    )
  })

  it.effect("does not warn about the backlog of an outage while it catches up", () => {
    const logged: Array<string> = []
    return Effect.gen(function* () {
      for (let account = 0; account < 120; account++) {
        yield* connected({ expired: true, profile: { requestsPerSecond: 1 } })
        yield* TestClock.adjust("5 seconds")
      }
      yield* renewing({ maxClaimed: 10 })
      yield* elapse("4 minutes")
      assert.lengthOf((yield* Wire).sent, 120)
      assert.deepStrictEqual(
        logged.filter((line) => line.includes("keep")),
        []
      )
    }).pipe(
      Effect.scoped,
      scenario(),
      Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(JSON.stringify(message)))]))
    )
  })

  it.effect("renews all others although one account's row cannot be read, and says so once", () => {
    const logged: Array<unknown> = []
    return Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sick = yield* connected({ expired: true })
      const others = yield* Effect.forEach(Array.from({ length: 5 }), () => connected({ expired: true }))
      yield* sql`UPDATE rekindle_accounts SET id = 'legacy-account-1' WHERE id = ${sick.id}`
      yield* sql`UPDATE rekindle_accounts SET renew_at = 0 WHERE id = 'legacy-account-1'`
      yield* renewing()
      yield* elapse("10 minutes", "30 seconds")
      assert.isTrue((yield* Effect.forEach(others, ({ id }) => stored(id))).every(({ generation }) => generation === 2))
      assert.lengthOf(
        logged.filter((message) => JSON.stringify(message).includes("legacy-account-1")),
        1
      )
    }).pipe(
      Effect.scoped,
      scenario(),
      Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
    )
  })

  it.effect("stays within a rate of less than one a second", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 8 }), () =>
        connected({ expired: true, profile: { requestsPerSecond: 0.1 } })
      )
      yield* renewing()
      yield* elapse("35 seconds")
      assert.lengthOf((yield* Wire).sent, 4)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("stops at a dead grant: one attempt, one announcement, no further polls", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      const { id, refreshToken } = yield* connected({ expired: true })
      yield* provider.revoke(refreshToken)
      const renewer = yield* renewing()
      yield* elapse("1 hour", "30 seconds")
      const account = yield* stored(id)
      assert.deepInclude(account, { status: "EXPIRED", statusReason: "grant_dead", renewAt: null })
      assert.strictEqual((yield* Wire).sent.length, 1)
      assert.deepStrictEqual(yield* events, ["expired"])
      assert.deepInclude(yield* renewer.progress, { claimed: 1, ended: { ConsentNeeded: 1 } })
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("announces a link that nobody used in time, once", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      yield* connections.authConfigs.register(authConfig("scripted"))
      const { id } = yield* connections.create({ authConfigId: "scripted", userId: "person" })
      yield* refresh(id)
      yield* renewing()
      yield* elapse("9 minutes", "30 seconds")
      assert.strictEqual((yield* stored(id)).status, "INITIATED")
      yield* elapse("20 minutes", "30 seconds")
      assert.deepInclude(yield* stored(id), { status: "EXPIRED", statusReason: "consent_lapsed", renewAt: null })
      assert.deepStrictEqual(yield* events, ["consent_started", "expired"])
    }).pipe(Effect.scoped, scenario())
  )

  /** An account without a refresh token. */
  const connectedWithout = Effect.fnUntraced(function* (expiresAt: number) {
    const connections = yield* Connections
    yield* connections.authConfigs.register(authConfig("scripted"))
    return yield* connections.create({
      authConfigId: "scripted",
      userId: "person",
      secrets: { access_token: Redacted.make("all there is") },
      expiresAt: DateTime.makeUnsafe(expiresAt)
    })
  })

  it.effect("reports a credential that ends and cannot be renewed", () =>
    Effect.gen(function* () {
      const { id } = yield* connectedWithout(beginning + 3_600_000)
      yield* renewing()
      yield* elapse("59 minutes", "30 seconds")
      assert.strictEqual((yield* stored(id)).status, "ACTIVE")
      yield* elapse("2 minutes", "5 seconds")
      assert.deepInclude(yield* stored(id), { status: "EXPIRED", statusReason: "grant_dead", renewAt: null })
      assert.deepStrictEqual(yield* events, ["expired"])
      assert.lengthOf((yield* Wire).sent, 0)
    }).pipe(Effect.scoped, scenario())
  )

  for (const [name, inDoubt] of [
    ["a refresh token that may be spent is sent", true],
    ["the end of a credential without one is reported", false]
  ] as const) {
    it.effect(`an access token that expires just after the look at its account: ${name} at once, and not later`, () => {
      let finds = Infinity
      return Effect.gen(function* () {
        const provider = yield* Provider
        const store = yield* AccountStore
        const { id } = yield* inDoubt ? connected({ expiresIn: "1 minute" }) : connectedWithout(beginning + 60_000)
        if (inDoubt) yield* store.doubtAll
        const from = yield* stored(id)
        yield* store.write({ from, to: { ...from, renewAt: beginning + 50_000 }, announce: [] })
        finds = 0
        yield* renewing({ pollInterval: "1 second" })
        yield* elapse("2 minutes", "1 second")
        assert.isAbove(finds, 2)
        const { status } = yield* stored(id)
        const { granted } = yield* provider.counts
        assert.deepStrictEqual(
          { status, granted },
          inDoubt ? { status: "ACTIVE", granted: 1 } : { status: "EXPIRED", granted: 0 }
        )
      }).pipe(
        Effect.scoped,
        scenario({
          store: (store) => ({
            ...store,
            // The third one comes after the decision, and takes until the access token has expired.
            find: (id) =>
              Effect.andThen(
                Effect.suspend(() => (++finds === 3 ? Effect.sleep("15 seconds") : Effect.void)),
                store.find(id)
              )
          })
        })
      )
    })
  }

  for (const look of [1, 2]) {
    it.effect(
      `leaves the time of an account alone that was connected anew meanwhile, after its look number ${look}`,
      () => {
        let looks = 0
        return Effect.gen(function* () {
          const store = yield* AccountStore
          const { id } = yield* connected()
          const from = yield* stored(id)
          const to = { ...from, status: "EXPIRED" as const, statusReason: "grant_dead" as const, renewAt: beginning }
          assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: [] })))
          looks = look
          yield* renewing()
          yield* elapse("10 seconds")
          const account = yield* stored(id)
          assert.strictEqual(account.status, "ACTIVE")
          assert.isNotNull(account.renewAt)
        }).pipe(
          Effect.scoped,
          scenario({
            store: (store) => ({
              ...store,
              find: (id) =>
                Effect.tap(store.find(id), (found) => {
                  if (Option.isNone(found) || found.value.status !== "EXPIRED" || --looks !== 0) return Effect.void
                  const from = found.value
                  const to = {
                    ...from,
                    status: "ACTIVE" as const,
                    statusReason: null,
                    generation: 7,
                    renewAt: beginning + 1_800_000
                  }
                  return store.write({ from, to, announce: [] })
                })
            })
          })
        )
      }
    )
  }

  it.effect("renews an account once, though its turn comes when its claim is long over", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      yield* Effect.forEach(Array.from({ length: 60 }), () =>
        connected({ expired: true, profile: { requestsPerSecond: 1 } })
      )
      yield* renewing({ claimFor: "10 seconds" })
      yield* renewing({ claimFor: "10 seconds" })
      yield* elapse("3 minutes", "500 millis")
      assert.strictEqual((yield* provider.counts).granted, 60)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("is not kept busy by a provider whose tokens expire at once", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      yield* connected({ expired: true })
      yield* provider.outage({ _tag: "AmendedAnswer", set: { expires_in: 0 } }, "1 day")
      yield* renewing()
      yield* elapse("10 minutes")
      const { granted } = yield* provider.counts
      assert.isAtMost(granted, 21)
      assert.isAtLeast(granted, 10)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("does not renew a disabled account, and renews it once it is enabled", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const provider = yield* Provider
      const { id } = yield* connected({ expired: true })
      yield* connections.disable(id)
      yield* renewing()
      yield* elapse("10 minutes", "30 seconds")
      assert.strictEqual((yield* provider.counts).granted, 0)
      yield* connections.enable(id)
      yield* elapse("30 seconds")
      assert.strictEqual((yield* provider.counts).granted, 1)
    }).pipe(Effect.scoped, scenario())
  )

  it.effect("picks up the renewal of a process that died, without being asked", () =>
    Effect.gen(function* () {
      const store = yield* AccountStore
      const provider = yield* Provider
      const { id } = yield* connected({ expired: true })
      const account = yield* stored(id)
      yield* store.begin({ account, owner: "dead", leaseMillis: 30_000, now: beginning })
      // not due, only abandoned
      yield* store.claimDue({ config: account, now: beginning, nextLook: beginning + 86_400_000, limit: 10 })
      yield* renewing()
      yield* elapse("20 seconds")
      assert.strictEqual((yield* provider.counts).granted, 0)
      // The lease of the dead process is observed for a full lease.
      yield* elapse("90 seconds")
      assert.strictEqual((yield* provider.counts).granted, 1)
      assert.isNull((yield* stored(id)).intent)
    }).pipe(Effect.scoped, scenario())
  )

  for (const [name, trouble] of [
    ["failed", Effect.fail(new StoreError({ message: "gone" }))],
    ["hung", Effect.never],
    ["broke", Effect.die(new Error("broken"))]
  ] as const) {
    it.effect(`goes on after the store ${name}`, () => {
      let down = false
      return Effect.gen(function* () {
        const provider = yield* Provider
        yield* connected({ expired: true })
        down = true
        yield* renewing()
        yield* elapse("1 minute")
        assert.strictEqual((yield* provider.counts).granted, 0)
        down = false
        yield* elapse("1 minute")
        assert.strictEqual((yield* provider.counts).granted, 1)
      }).pipe(
        Effect.scoped,
        scenario({
          store: (store) => ({
            ...store,
            dueConfigs: (now) => Effect.suspend(() => (down ? trouble : store.dueConfigs(now))),
            claimDue: (request) => Effect.suspend(() => (down ? trouble : store.claimDue(request))),
            findAbandoned: (request) => Effect.suspend(() => (down ? trouble : store.findAbandoned(request)))
          })
        })
      )
    })
  }

  it.effect("finishes the renewal under way when it is closed", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      const { id } = yield* connected({ expired: true })
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Renewer.layer(), scope)
      yield* rest
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      yield* elapse("5 seconds")
      const granted = (yield* provider.counts).granted
      assert.strictEqual((yield* stored(id)).generation, 1 + granted)
    }).pipe(scenario())
  )

  it.effect("reads an auth config once for all of its due accounts when its cache entry expires", () => {
    let isSlow = false
    let reads = 0
    return Effect.gen(function* () {
      yield* Effect.replicateEffect(connected({ expired: true }), 50)
      yield* elapse("11 seconds")
      isSlow = true
      reads = 0
      yield* renewing()
      yield* elapse("2 seconds")
      assert.strictEqual(reads, 1)
    }).pipe(
      Effect.scoped,
      scenario({
        store: (store) => ({
          ...store,
          findAuthConfig: (config) =>
            Effect.suspend(() => (reads++, Effect.delay(store.findAuthConfig(config), isSlow ? "100 millis" : 0)))
        })
      })
    )
  })

  it.effect("marks its own store requests as background work, and not those of callers", () => {
    const asked: Array<boolean> = []
    return Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      asked.length = 0
      yield* renewing()
      yield* elapse("10 seconds")
      assert.isAbove(asked.length, 0)
      assert.isTrue(asked.every((inBackground) => inBackground))
      asked.length = 0
      yield* refresh(id)
      assert.isAbove(asked.length, 0)
      assert.isFalse(asked.some((inBackground) => inBackground))
    }).pipe(
      Effect.scoped,
      scenario({
        store: (store) => ({
          ...store,
          find: (id) => Effect.flatMap(InBackground, (inBackground) => (asked.push(inBackground), store.find(id))),
          begin: (request) =>
            Effect.flatMap(InBackground, (inBackground) => (asked.push(inBackground), store.begin(request))),
          write: (change) =>
            Effect.flatMap(InBackground, (inBackground) => (asked.push(inBackground), store.write(change)))
        })
      })
    )
  })

  it.effect("counts its ends as a metric", () =>
    Effect.gen(function* () {
      yield* connected({ expired: true })
      yield* renewing()
      yield* elapse("30 seconds")
      const snapshot = yield* Metric.snapshot
      const ends = snapshot.find(({ id }) => id === "rekindle.renewer.renewals")
      assert.deepInclude(ends?.attributes, { kind: "Renewed" })
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()), scenario())
  )
})
