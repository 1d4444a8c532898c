/** Processes are stopped, and providers are slow. A late answer is kept, and no request is sent under an ended lease. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts } from "@rekindle/core"
import { AccountStore, AtCheckpoint, Journal, TokenCommit } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Effect, Latch, Layer } from "effect"
import { TestClock } from "effect/testing"
import {
  connected,
  elapse,
  join,
  leaseAs,
  refresh,
  rest,
  scenario,
  secretsOf,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { trouble } from "../support/StoreTrouble.ts"

const sends = Effect.map(Wire, ({ sent }) => sent.length)

/** Runs with a process that can be frozen. No timer in it fires until it is thawed. */
const withFreezer = <A, E, R>(body: (process: Latch.Latch) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const awake = yield* Latch.make(true)
    const freezing: Clock.Clock = {
      ...clock,
      sleep: (duration) => Effect.andThen(clock.sleep(duration), awake.await)
    }
    return yield* Effect.provideService(body(awake), Clock.Clock, freezing)
  })

describe("an answer that comes when its time is over", () => {
  it.effect("is what the refresh waits for, instead of sending a strict token beside it", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true })
      // The request's time limit is 8 seconds.
      yield* provider.next({ _tag: "LateAnswer", delay: "25 seconds" })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 1)
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
      assert.isTrue(yield* provider.isLive((yield* secretsOf(id))["access_token"] ?? ""))
      assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
    }).pipe(scenario())
  )

  it.effect("keeps a strict token from being sent again while it is written down, however long that takes", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true })
      // The second try would be sent after 28 seconds. The answer arrives before, and its commit takes 3 seconds.
      state.slow = "3 seconds"
      yield* provider.next({ _tag: "LateAnswer", delay: "26 seconds" })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual(yield* sends, 1)
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
      assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
    }).pipe(scenario(options))
  })

  it.effect(
    "keeps a strict token from being sent by a later refresh while it is written down, though the lease is over",
    () => {
      const { options, state } = trouble()
      return Effect.gen(function* () {
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { id } = yield* connected({ expiresIn: "30 seconds" })
        state.slow = "40 seconds"
        yield* provider.next({ _tag: "LateAnswer", delay: "58 seconds" })
        yield* refresh(id)
        // Its access token has expired. Others observe the lease for a full lease.
        for (let time = 0; time < 4; time++) {
          yield* elapse("20 seconds")
          yield* Effect.exit(refresh(id))
        }
        state.slow = 0
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
        const { sent } = yield* Wire
        assert.strictEqual(new Set(sent).size, sent.length, "a token was sent twice")
        assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
      }).pipe(scenario(options))
    }
  )

  it.effect("still waits for the store when its commit is given up, and whoever waited for that learns so", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const tokens = yield* TokenCommit
      const { id } = yield* connected({ expiresIn: "30 seconds" })
      state.failures = 10_000
      yield* provider.next({ _tag: "LateAnswer", delay: "26 seconds" })
      yield* refresh(id)
      yield* elapse("30 seconds")
      const settling = yield* Effect.forkChild(tokens.settle(id))
      yield* elapse("1 minute", "250 millis")
      // With no answer waiting, the stored token would be sent, which is spent.
      assert.deepInclude(yield* join(settling), { committed: 0, waiting: 1 })
    }).pipe(scenario(options))
  })

  it.effect("is kept when everybody has been told that there was none", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id, refreshToken } = yield* connected()
      yield* provider.next({ _tag: "LateAnswer", delay: "40 seconds" })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { generation: 1, intent: "open" })
      yield* elapse("40 seconds")
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed", leased: false })
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.strictEqual(yield* sends, 1)
    }).pipe(scenario())
  )

  it.effect("keeps a strict token from being sent as long as it may come, and no longer", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      yield* provider.next({ _tag: "NoAnswer", applied: false })
      yield* refresh(id)
      const asked = yield* Clock.currentTimeMillis
      // Other callers get the state at once.
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.isAtMost((yield* Clock.currentTimeMillis) - asked, 200)
      yield* elapse("45 seconds")
      assert.deepInclude(summary(yield* stored(id)), { intent: "open", leased: true })
      yield* elapse("10 seconds")
      assert.deepInclude(summary(yield* stored(id)), { intent: "open", leased: false })
      assert.strictEqual(yield* sends, 1)
    }).pipe(scenario())
  )

  it.effect("has room in the journal as long as it may come, beside that of the next try", () => {
    let held = 0
    const counting = Layer.effect(
      Journal,
      Effect.map(Journal, (journal) =>
        Journal.of({
          ...journal,
          room: Effect.acquireRelease(
            Effect.sync(() => void held++),
            () => Effect.sync(() => void held--)
          )
        })
      )
    ).pipe(Layer.provide(Journal.layerMemory))
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ profile: { rotation: "none" } })
      for (const delay of ["40 seconds", "50 seconds", "30 seconds"] as const) {
        yield* provider.next({ _tag: "LateAnswer", delay })
      }
      yield* refresh(id)
      assert.strictEqual(yield* sends, 3)
      assert.strictEqual(held, 3)
      yield* elapse("60 seconds")
      assert.strictEqual((yield* stored(id)).generation, 2)
      assert.strictEqual(held, 0)
    }).pipe(scenario({ provider: { rotation: "none" }, journal: counting }))
  })

  it.effect("does not overwrite the token of a later lease", () =>
    Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true, profile: { rotation: "none" } })
      yield* provider.next({ _tag: "LateAnswer", delay: "15 seconds" })
      assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      assert.strictEqual((yield* stored(id)).generation, 2)
      yield* refresh(id)
      const { access_token } = yield* secretsOf(id)
      yield* elapse("20 seconds")
      assert.strictEqual((yield* secretsOf(id))["access_token"], access_token)
      assert.strictEqual((yield* stored(id)).generation, 3)
    }).pipe(scenario({ provider: { rotation: "none" } }))
  )
})

describe("a process that was frozen", () => {
  it.effect("in the pause before its second try does not send the token when its lease is over", () =>
    withFreezer((process) =>
      Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const provider = yield* ScriptedProvider.ScriptedProvider
        const store = yield* AccountStore
        const { id } = yield* connected({ expired: true })
        yield* provider.next({ _tag: "ConnectionReset", applied: false })
        const ours = yield* Effect.forkChild(Effect.exit(accounts.refresh(id)))
        yield* elapse("1 second")
        process.closeUnsafe()
        yield* elapse("61 seconds")
        const theirs = yield* leaseAs(id, "another process")
        assert.strictEqual(yield* sends, 1)
        process.openUnsafe()
        yield* rest
        yield* TestClock.adjust("1 second")
        yield* rest
        assert.strictEqual(yield* sends, 1, "it was sent beside the other process's request")
        assert.deepInclude(yield* stored(id), { epoch: theirs.epoch, lease: theirs.lease })
        yield* store.write({
          from: theirs,
          to: { ...theirs, generation: 2, obtainedEpoch: theirs.epoch },
          announce: []
        })
        yield* join(ours)
        assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
      })
    ).pipe(scenario())
  )

  it.effect(
    "between its intent and its request takes a new lease, by a clock that stands still in the meantime or not",
    () =>
      Effect.gen(function* () {
        const { id } = yield* connected({ expired: true })
        let stops = 1
        const freeze = Effect.suspend(() => (stops-- > 0 ? Effect.sleep("31 seconds") : Effect.void))
        assert.deepStrictEqual(
          yield* refresh(id).pipe(
            Effect.provideService(AtCheckpoint, (point) => (point === "after-intent" ? freeze : Effect.void))
          ),
          { _tag: "Ready", id }
        )
        assert.strictEqual(yield* sends, 1)
        assert.strictEqual((yield* stored(id)).obtainedEpoch, 2)
      }).pipe(scenario())
  )
})
