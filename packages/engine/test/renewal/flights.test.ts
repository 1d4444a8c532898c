/** One flight for each account: its callers share it, may leave it, and it always ends. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { type AuthStrategy, OAuth2, RefreshCoordinator } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, DateTime, Deferred, Effect, Fiber, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import {
  connected,
  elapse,
  join,
  leaseAs,
  refresh,
  refused,
  rest,
  scenario,
  secretsOf,
  settle,
  start,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const late = (delay: "5 seconds" | "8 seconds"): ScriptedProvider.Fault => ({ _tag: "LateAnswer", delay })

const inMillis = (millis: number) =>
  Effect.map(Clock.currentTimeMillis, (now) => ({ deadline: DateTime.makeUnsafe(now + millis) }))

const inFlight = Effect.flatMap(RefreshCoordinator, (coordinator) => coordinator.inFlight)

describe("a flight", () => {
  it.effect("is shared: fifty callers, one request, fifty times the same result", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const callers = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.forkChild(accounts.refresh(id)))
      const outcomes = yield* Effect.forEach(callers, (caller) => join(caller))
      assert.isTrue(outcomes.every(({ _tag }) => _tag === "Ready"))
      assert.lengthOf((yield* Wire).sent, 1)
      assert.strictEqual(yield* inFlight, 0)
    }).pipe(scenario())
  )

  it.effect("with an older credential is no answer to a caller who reports the newer one as refused", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const connections = yield* Connections
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const first = yield* Effect.forkChild(accounts.refresh(id))
      yield* rest
      const brought = yield* provider.connect
      yield* connections.replaceSecrets(id, {
        access_token: Redacted.make(brought.accessToken),
        refresh_token: Redacted.make(brought.refreshToken)
      })
      const second = yield* Effect.forkChild(accounts.refresh(id, { tokenRefused: true }))
      assert.strictEqual((yield* join(first))._tag, "Ready")
      assert.strictEqual((yield* join(second))._tag, "Ready")
      assert.notStrictEqual((yield* secretsOf(id))["access_token"], brought.accessToken)
      assert.deepInclude(summary(yield* stored(id)), { generation: 3, intent: "closed", leased: false })
    }).pipe(scenario())
  )

  it.effect("is one for each account: two accounts, two requests at the same time", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const [one, two] = [yield* connected(), yield* connected()]
      yield* provider.next(late("5 seconds"), late("5 seconds"))
      const callers = yield* Effect.forEach([one, two], ({ id }) => Effect.forkChild(accounts.refresh(id)))
      yield* rest
      assert.strictEqual(yield* inFlight, 2)
      assert.lengthOf((yield* Wire).sent, 2)
      yield* Effect.forEach(callers, (caller) => join(caller))
    }).pipe(scenario())
  )

  it.effect("goes on without a caller who leaves, who need not wait for it", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const first = yield* Effect.forkChild(accounts.refresh(id))
      yield* rest
      const second = yield* Effect.forkChild(accounts.refresh(id))
      yield* rest
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* inFlight, 1)
      assert.strictEqual((yield* join(second))._tag, "Ready")
      assert.lengthOf((yield* Wire).sent, 1)
      assert.strictEqual((yield* stored(id)).generation, 2)
    }).pipe(scenario())
  )

  it.effect("goes on and commits when all of its callers leave", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const caller = yield* Effect.forkChild(accounts.refresh(id))
      yield* rest
      yield* Fiber.interrupt(caller)
      yield* elapse("6 seconds")
      assert.strictEqual((yield* stored(id)).generation, 2)
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.strictEqual(yield* inFlight, 0)
    }).pipe(scenario())
  )

  it.effect("is forgotten when it fails: the next caller starts another one", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(ScriptedProvider.unavailable(), ScriptedProvider.unavailable())
      assert.strictEqual((yield* refused(id))._tag, "Unavailable")
      assert.strictEqual(yield* inFlight, 0)
      assert.strictEqual((yield* refused(id))._tag, "Unavailable")
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.lengthOf((yield* Wire).sent, 3)
    }).pipe(scenario())
  )

  it.effect("survives a strategy that breaks: it may have sent, so its answer counts as lost", () => {
    const broken = Effect.map(OAuth2.make, (strategy): AuthStrategy => ({
      ...strategy,
      ...(strategy.renewal === undefined
        ? {}
        : { renewal: { ...strategy.renewal, send: () => Effect.die(new Error("a bug")) } })
    }))
    return Effect.gen(function* () {
      const { id } = yield* connected({ expired: true })
      const error = yield* refused(id)
      assert.strictEqual("slug" in error && error.slug, "provider_silent")
      assert.strictEqual(yield* inFlight, 0)
      assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", intent: "open", leased: false })
    }).pipe(scenario({ engine: { strategies: [broken] } }))
  })
})

describe("a strategy that breaks on reading an answer", () => {
  it.effect("loses no token: the answer is read as the decision table does", () => {
    const broken = Effect.map(OAuth2.make, (strategy): AuthStrategy => ({
      ...strategy,
      ...(strategy.renewal === undefined
        ? {}
        : {
            renewal: {
              ...strategy.renewal,
              decide: () => {
                throw new Error("a bug")
              }
            }
          })
    }))
    return Effect.gen(function* () {
      const { id, refreshToken } = yield* connected()
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
    }).pipe(scenario({ engine: { strategies: [broken] } }))
  })
})

describe("a caller's deadline", () => {
  it.effect("bounds the caller and not the flight; what was sent is ambiguous", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const before = yield* Clock.currentTimeMillis
      const error = yield* refused(id, yield* inMillis(1_000))
      assert.strictEqual((yield* Clock.currentTimeMillis) - before, 1_000)
      assert.strictEqual(error._tag, "DeadlineExceeded")
      assert.strictEqual("disposition" in error && error.disposition, "ambiguous")
      assert.strictEqual((yield* stored(id)).generation, 1)
      yield* elapse("5 seconds")
      assert.strictEqual((yield* stored(id)).generation, 2)
      assert.lengthOf((yield* Wire).sent, 1)
    }).pipe(scenario())
  )

  it.effect("is each caller's own", () =>
    Effect.gen(function* () {
      const accounts = yield* ConnectedAccounts
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next(late("5 seconds"))
      const hasty = yield* Effect.forkChild(Effect.flip(accounts.refresh(id, yield* inMillis(500))))
      const patient = yield* Effect.forkChild(accounts.refresh(id, yield* inMillis(20_000)))
      assert.strictEqual((yield* join(hasty))._tag, "DeadlineExceeded")
      assert.strictEqual((yield* join(patient))._tag, "Ready")
    }).pipe(scenario())
  )

  it.effect("that passes while another process holds the lease is Unavailable: nothing was sent", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* leaseAs(id, "another process")
      const error = yield* refused(id, yield* inMillis(1_000))
      assert.strictEqual(error._tag, "Unavailable")
      assert.strictEqual(error.disposition, "rejected")
      assert.lengthOf((yield* Wire).sent, 0)
    }).pipe(scenario())
  )

  it.effect("that has passed already is not-sent, and nothing is", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      const error = yield* refused(id, yield* inMillis(-1))
      assert.strictEqual(error._tag, "DeadlineExceeded")
      assert.strictEqual(error.disposition, "not-sent")
      yield* elapse("1 second")
      assert.lengthOf((yield* Wire).sent, 0)
      assert.strictEqual(yield* inFlight, 0)
    }).pipe(scenario())
  )

  it.effect("defaults to the patience of the process", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* leaseAs(id, "another process")
      const before = yield* Clock.currentTimeMillis
      assert.strictEqual((yield* refused(id))._tag, "Unavailable")
      assert.strictEqual((yield* Clock.currentTimeMillis) - before, 3_000)
    }).pipe(scenario({ engine: { coordinator: { patience: "3 seconds" } } }))
  )
})

describe("a flight is bounded", () => {
  it.effect("when the provider never answers", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true, profile: { rotation: "none" } })
      yield* provider.outage({ _tag: "NoAnswer", applied: false }, "1 day")
      yield* refused(id, yield* inMillis(1))
      yield* elapse("35 seconds")
      assert.strictEqual(yield* inFlight, 0)
      assert.isNull((yield* stored(id)).lease)
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )

  it.effect("when another process holds the lease and takes it again and again", () =>
    Effect.gen(function* () {
      const { id } = yield* connected()
      yield* leaseAs(id, "another process", 20_000)
      yield* refused(id, yield* inMillis(1))
      for (let lease = 0; lease < 4; lease++) {
        // The other holder's clock is slightly behind, and it always takes the lease first.
        yield* elapse("19500 millis", "500 millis")
        const account = yield* stored(id)
        if (account.lease === null) break
        yield* TestClock.adjust("500 millis")
        yield* Effect.option(leaseAs(id, "another process", 20_000))
      }
      yield* elapse("20 seconds")
      assert.strictEqual(yield* inFlight, 0)
    }).pipe(scenario())
  )

  for (const step of ["findIn", "write"] as const) {
    it.effect(`holds while the store hangs outside of the renewal, in ${step}`, () => {
      let hangs = false
      return Effect.gen(function* () {
        const { id } = yield* connected()
        const provider = yield* ScriptedProvider.ScriptedProvider
        if (step === "write") {
          // The grant is dead, so the refresh writes a consent after the renewal.
          yield* provider.revoke((yield* secretsOf(id))["refresh_token"] ?? "")
          yield* refresh(id)
        }
        hangs = true
        const before = yield* Clock.currentTimeMillis
        const error = yield* refused(id, yield* inMillis(5000))
        assert.isAtMost((yield* Clock.currentTimeMillis) - before, 5100)
        assert.strictEqual(error._tag, "DeadlineExceeded")
        assert.strictEqual(error.disposition, step === "findIn" ? "not-sent" : "ambiguous")
      }).pipe(
        scenario({
          store: (store) => ({
            ...store,
            findIn: (...asked) => (hangs && step === "findIn" ? Effect.never : store.findIn(...asked)),
            write: (change) => (hangs && step === "write" ? Effect.never : store.write(change))
          })
        })
      )
    })
  }

  it.effect("when the store hangs: before anything was sent it says so", () => {
    let hangs = false
    return Effect.gen(function* () {
      const { id } = yield* connected()
      hangs = true
      yield* refused(id, yield* inMillis(1))
      yield* elapse("2 minutes", "5 seconds")
      assert.strictEqual(yield* inFlight, 0)
      hangs = false
      assert.strictEqual((yield* refresh(id))._tag, "Ready")
      assert.lengthOf((yield* Wire).sent, 1)
    }).pipe(
      scenario({ store: (store) => ({ ...store, begin: (request) => (hangs ? Effect.never : store.begin(request)) }) })
    )
  })
})

describe("a process that ends in the middle of a renewal", () => {
  it.effect("finishes the commit first", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_800_000_000_000)
      const saved = yield* Deferred.make<{ readonly status: string; readonly generation: number }>()
      const engine = yield* start({
        store: (store) => ({
          ...store,
          write: (change) => Effect.tap(store.write(change), () => Deferred.succeed(saved, summary(change.to)))
        })
      })
      const caller = yield* Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected()
        yield* provider.next(late("5 seconds"))
        const caller = yield* Effect.forkChild(Effect.result(accounts.refresh(id)))
        yield* rest
        return caller
      }).pipe(Effect.provideContext(engine.context))
      yield* settle(engine.stop, "1 second")
      assert.deepInclude(yield* Deferred.await(saved), { status: "ACTIVE", generation: 2 })
      const told = yield* join(caller)
      // Whatever the caller gets, it must not be "nothing was done".
      assert.isTrue(told._tag === "Success" || told.failure.disposition === "ambiguous", JSON.stringify(told))
    })
  )

  it.effect("does not begin another one, and says so at once", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_800_000_000_000)
      const engine = yield* start()
      const { id } = yield* Effect.provideContext(connected(), engine.context)
      const coordinator = yield* Effect.provideContext(RefreshCoordinator, engine.context)
      yield* engine.stop
      const caller = yield* Effect.forkChild(Effect.flip(coordinator.renew(id)))
      yield* rest
      const exit = Option.fromUndefinedOr(caller.pollUnsafe())
      assert.isTrue(Option.isSome(exit), "the caller waits for nothing")
      assert.strictEqual((yield* Fiber.join(caller))._tag, "Unavailable")
    })
  )
})
