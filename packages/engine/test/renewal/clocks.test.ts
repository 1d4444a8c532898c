/**
 * Clocks jump after a suspend, a restore or a correction. A jump may cause a delay. It must never spend a token twice or leave an account
 * stuck.
 */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts, Connections } from "@rekindle/core"
import { AtCheckpoint, Renewer } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
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
  type Services,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"

const hour = 3_600_000

/** Runs with a wall clock that can be set. Sleeping is not affected, as on a real machine. */
const withWallClock = <A, E, R>(body: (set: (by: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let offset = 0
    const wall: Clock.Clock = {
      ...clock,
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + offset)
    }
    return yield* Effect.provideService(
      body((by) => void (offset += by)),
      Clock.Clock,
      wall
    )
  })

const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** An account whose answer was lost, after its reuse window. `isNotSent` asserts that its token was not sent again since. */
const afterItsWindow = Effect.gen(function* () {
  const provider = yield* ScriptedProvider.ScriptedProvider
  const { id } = yield* connected({ profile: { reuseWindow: Duration.minutes(10) } })
  yield* provider.outage(ScriptedProvider.lostResponse, "1 minute")
  assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
  const sent = yield* sends
  yield* elapse("20 minutes", "1 minute")
  const isNotSent = Effect.gen(function* () {
    assert.strictEqual(yield* sends, sent)
    assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
  })
  return { id, isNotSent }
})

describe("a clock that jumps", () => {
  for (const [name, by] of [
    ["an hour back", -hour],
    ["a day forward", 24 * hour]
  ] as const) {
    it.effect(`${name} between two refreshes: both renew, each with the latest token`, () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected({ profile: { minimumAge: Duration.seconds(30) } })
          yield* elapse("1 minute", "30 seconds")
          assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
          set(by)
          assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
          assert.strictEqual((yield* stored(id)).generation, 3)
          assert.deepInclude(yield* provider.counts, { granted: 2, replays: 0, revokedGrants: 0 })
        })
      ).pipe(scenario())
    )

    it.effect(`${name} while a request is under way: one request, and its token is kept`, () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id, refreshToken } = yield* connected()
          yield* provider.next({ _tag: "LateAnswer", delay: "5 seconds" })
          const first = yield* Effect.forkChild(accounts.refresh(id))
          yield* rest
          set(by)
          const second = yield* Effect.forkChild(accounts.refresh(id))
          assert.deepStrictEqual(yield* join(first), { _tag: "Ready", id })
          assert.deepStrictEqual(yield* join(second), { _tag: "Ready", id })
          assert.strictEqual(yield* sends, 1)
          assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
          assert.deepInclude(summary(yield* stored(id)), { generation: 2, leased: false, intent: "closed" })
        })
      ).pipe(scenario())
    )

    it.effect(`${name} while requests fail: the flight ends, and the next one renews`, () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected({ profile: { rotation: "none" } })
          yield* provider.next({ _tag: "NoAnswer", applied: false }, ScriptedProvider.unavailable())
          const first = yield* Effect.forkChild(Effect.exit(accounts.refresh(id)))
          yield* elapse("5 seconds")
          set(by)
          yield* join(first, "1 second")
          yield* settle(Effect.exit(accounts.refresh(id)))
          assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", leased: false, intent: "closed" })
        })
      ).pipe(scenario({ provider: { rotation: "none" } }))
    )
  }

  it.effect(
    "beyond the lease before anything was sent: the token is sent under a new lease, and not under the old one",
    () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const { id } = yield* connected()
          let slept = false
          const sleep = Effect.sync(() => {
            if (!slept) set(hour)
            slept = true
          })
          const epochs: Array<number> = []
          const seen = Effect.map(stored(id), ({ epoch }) => void epochs.push(epoch))
          const context = yield* Effect.context<Services>()
          assert.deepStrictEqual(
            yield* refresh(id).pipe(
              Effect.provideService(AtCheckpoint, (point) =>
                point === "after-intent"
                  ? sleep
                  : point === "after-response"
                    ? Effect.orDie(Effect.provideContext(seen, context))
                    : Effect.void
              )
            ),
            { _tag: "Ready", id }
          )
          assert.deepStrictEqual(epochs, [2])
          assert.strictEqual(yield* sends, 1)
        })
      ).pipe(scenario())
  )

  it.effect(
    "two hours forward while another process has a strict token under way: it is watched for a whole lease first",
    () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const { id } = yield* connected({ expired: true })
          yield* leaseAs(id, "them")
          set(2 * hour)
          const caller = yield* Effect.forkChild(accounts.refresh(id))
          yield* elapse("55 seconds")
          assert.strictEqual(yield* sends, 0)
          // The other process is gone. Its lease has ended by any clock.
          assert.deepStrictEqual(yield* join(caller), { _tag: "Ready", id })
          assert.strictEqual(yield* sends, 1)
        })
      ).pipe(scenario({ engine: { coordinator: { patience: "2 minutes" } } }))
  )

  it.effect("two hours forward in the pause before a second try: it is not made under the old lease", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected({ expired: true })
        yield* provider.next({ _tag: "ConnectionReset", applied: false })
        const caller = yield* Effect.forkChild(accounts.refresh(id))
        yield* elapse("1 second")
        set(2 * hour)
        // Another process may now take the account, and finds an ended lease.
        assert.deepStrictEqual(yield* join(caller), { _tag: "Ready", id })
        assert.strictEqual((yield* stored(id)).obtainedEpoch, 2)
      })
    ).pipe(scenario())
  )

  it.effect(
    "ahead, and is right again before a token in doubt is sent a last time: the access token still works, so it is not",
    () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected()
          yield* provider.next(ScriptedProvider.lostResponse)
          set(2 * hour)
          const caller = yield* Effect.forkChild(accounts.refresh(id))
          yield* elapse("5 seconds", "100 millis")
          set(-2 * hour)
          assert.deepStrictEqual(yield* join(caller), { _tag: "Ready", id })
          assert.strictEqual(yield* sends, 1)
        })
      ).pipe(scenario())
  )

  it.effect(
    "ahead, and is right again when a token in doubt gets its lease: the access token still works, so it is not sent",
    () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected()
          yield* provider.next(ScriptedProvider.lostResponse)
          yield* settle(Effect.exit(refresh(id)))
          assert.strictEqual(yield* sends, 1)
          set(2 * hour)
          const isRight = (point: string) =>
            point === "after-intent" ? Effect.sync(() => set(-2 * hour)) : Effect.void
          assert.deepStrictEqual(yield* refresh(id).pipe(Effect.provideService(AtCheckpoint, isRight)), {
            _tag: "Ready",
            id
          })
          assert.strictEqual(yield* sends, 1)
          assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", leased: false, intent: "open" })
        })
      ).pipe(scenario())
  )

  it.effect("back, after a process died with the lease: the account is not held for as long as the jump", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected({ expired: true, profile: { rotation: "none" } })
        yield* leaseAs(id, "a process that died")
        set(-6 * hour)
        // Callers wait no longer than before. One of them succeeds within one or two leases.
        const waited = yield* Clock.currentTimeMillis
        for (let asked = 0; asked < 6; asked++) {
          const seen = yield* settle(Effect.result(accounts.refresh(id)), "1 second")
          if (seen._tag === "Success") break
          assert.strictEqual(seen.failure._tag, "Unavailable")
        }
        assert.strictEqual((yield* stored(id)).generation, 2)
        assert.isAtMost((yield* Clock.currentTimeMillis) - waited, 130_000)
        assert.strictEqual(yield* sends, 1)
      })
    ).pipe(scenario({ provider: { rotation: "none" } }))
  )

  it.effect("back, after an answer was lost: a reuse window that seems to lie ahead is not trusted", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const { id, isNotSent } = yield* afterItsWindow
        set(-hour)
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
        yield* isNotSent
      })
    ).pipe(scenario({ provider: { reuseWindow: "10 minutes" } }))
  )

  it.effect(
    "ahead, and is set back beyond the loss of an answer when the token gets its lease: its window stays closed",
    () =>
      withWallClock((set) =>
        Effect.gen(function* () {
          const { id, isNotSent } = yield* afterItsWindow
          set(2 * hour)
          const isSetBack = (point: string) =>
            point === "after-intent" ? Effect.sync(() => set(-2 * hour - hour / 4)) : Effect.void
          assert.deepStrictEqual(yield* refresh(id).pipe(Effect.provideService(AtCheckpoint, isSetBack)), {
            _tag: "Ready",
            id
          })
          yield* isNotSent
        })
      ).pipe(scenario({ provider: { reuseWindow: "10 minutes" } }))
  )

  it.effect("back, while another process is at work: it is still waited for as long as its lease lasts", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected()
        yield* leaseAs(id, "them")
        const caller = yield* Effect.forkChild(Effect.exit(accounts.refresh(id)))
        yield* elapse("10 seconds")
        set(-hour)
        yield* elapse("45 seconds")
        assert.strictEqual(yield* sends, 0)
        yield* join(caller, "1 second")
      })
    ).pipe(scenario())
  )

  it.effect("forward, an outage, and back again: what the provider said then holds nobody back", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected()
        set(hour / 6)
        yield* provider.next(ScriptedProvider.unavailable("60"))
        assert.deepInclude(yield* refused(id), { slug: "provider_busy" })
        assert.deepInclude(yield* refused(id), { slug: "provider_busy" })
        assert.strictEqual(yield* sends, 1)
        set(-hour / 6)
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
        assert.strictEqual(yield* sends, 2)
      })
    ).pipe(scenario())
  )

  it.effect("back, while the renewer keeps to a rate: what is due then is renewed at that rate too", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const isDue = connected({ expired: true, profile: { requestsPerSecond: 1 } })
        yield* Effect.replicateEffect(isDue, 20)
        yield* Layer.build(Renewer.layer())
        yield* elapse("40 seconds")
        assert.strictEqual(yield* sends, 20)
        set(-hour)
        yield* Effect.replicateEffect(isDue, 20)
        yield* elapse("40 seconds")
        assert.strictEqual(yield* sends, 40)
      })
    ).pipe(Effect.scoped, scenario())
  )

  it.effect("forward and back again: the access token is not handed out beyond its life for that", () =>
    withWallClock((set) =>
      Effect.gen(function* () {
        const connections = yield* Connections
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected()
        set(24 * hour)
        yield* refresh(id)
        set(-24 * hour)
        // Its stored end is a day too late. A refresh corrects it.
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
        yield* elapse("61 minutes", "5 minutes")
        const token = yield* settle(connections.accessToken(id))
        assert.isTrue(yield* provider.isLive(Redacted.value(token)))
      })
    ).pipe(scenario())
  )
})
