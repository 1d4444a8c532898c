/** The store does not take a new token: it waits on disk, sealed, and is committed as soon as that is possible. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccounts } from "@rekindle/core"
import { Escrow, Sealed, StoreError } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { Effect, Fiber, Option } from "effect"
import { readFile, rm, stat } from "node:fs/promises"
import { join as path } from "node:path"
import { setTimeout } from "node:timers/promises"
import {
  connected,
  elapse,
  join,
  type Options,
  refused,
  scenario,
  secretsOf,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { consents, fresh, link } from "../support/ScriptedConsent.ts"
import { filesIn, refreshSlowly, temporary, trouble } from "../support/StoreTrouble.ts"

/** Moves the clock to where a commit counts as slow, and waits until the file is there: writing it takes real time. */
const untilFile = Effect.fnUntraced(function* (directory: string) {
  yield* elapse("1100 millis", "100 millis")
  for (let tries = 0; tries < 500; tries++) {
    const [name] = yield* filesIn(directory)
    if (name !== undefined) return path(directory, name)
    yield* Effect.promise(() => setTimeout(10))
  }
  return assert.fail("no escrow file was written")
})

describe("a store that does not take a new token", () => {
  it.effect("once is asked again, and nothing is lost", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const { id } = yield* connected()
      state.failures = 3
      assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, leased: false, intent: "closed" })
      assert.deepStrictEqual(yield* (yield* Escrow).all, [])
      assert.lengthOf((yield* Wire).sent, 1)
    }).pipe(scenario(options))
  })

  for (const kind of ["fails", "is slow", "hangs"] as const) {
    it.effect(`and ${kind}: the sealed answer is on disk meanwhile, readable by us alone, and gone afterwards`, () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const { options, state } = trouble()
        yield* Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected()
          if (kind === "hangs") state.hangs = true
          else if (kind === "is slow") state.slow = true
          else state.failures = 40
          const caller = yield* Effect.forkChild(accounts.refresh(id))
          const file = yield* untilFile(directory)
          const text = yield* Effect.promise(() => readFile(file, "utf8"))
          for (const secret of yield* provider.secrets) assert.notInclude(text, secret)
          assert.strictEqual((yield* Effect.promise(() => stat(file))).mode & 0o777, 0o600)
          assert.strictEqual((yield* Effect.promise(() => stat(directory))).mode & 0o077, 0)
          if (kind === "hangs") {
            // A hanging write is given up with the whole commit; what comes after finds the answer in escrow.
            yield* Fiber.interrupt(caller)
            yield* elapse("46 seconds", "500 millis")
            state.hangs = false
          } else assert.deepStrictEqual(yield* join(caller, "10 millis"), { _tag: "Ready", id })
          state.slow = false
          if (kind !== "hangs") assert.deepStrictEqual(yield* filesIn(directory), [])
          assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
          assert.deepStrictEqual(yield* filesIn(directory), [])
          assert.deepInclude(yield* provider.counts, { revokedGrants: 0, replays: 0 })
        }).pipe(scenario({ ...options, escrow: Escrow.layerDirectory(directory) }))
      }).pipe(Effect.scoped)
    )
  }

  it.effect("for longer than anybody waits: the failure is ambiguous, and the next refresh needs no request", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const { id, refreshToken } = yield* connected()
      state.failures = Infinity
      const error = yield* refused(id)
      assert.strictEqual(error._tag, "DeadlineExceeded")
      assert.strictEqual(error.disposition, "ambiguous")
      yield* elapse("20 seconds", "1 second")
      assert.lengthOf(yield* (yield* Escrow).all, 1)
      state.failures = 0
      assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
      assert.lengthOf((yield* Wire).sent, 1)
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.deepStrictEqual(yield* (yield* Escrow).all, [])
    }).pipe(scenario(options))
  })

  it.effect("still, when the lease is over: the token it replaces is spent and is not sent again", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected({ expired: true })
      state.failures = Infinity
      yield* refused(id)
      yield* elapse("2 minutes", "1 second")
      const error = yield* refused(id)
      assert.strictEqual("slug" in error && error.slug, "store_unavailable")
      assert.lengthOf((yield* Wire).sent, 1)
      state.failures = 0
      assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
      assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
    }).pipe(scenario(options))
  })

  it.effect(
    "from a consent, and did: what another machine renewed it to meanwhile stays, whatever its clock says",
    () => {
      let told = false
      const unconfirmed: Options = {
        store: (store) => ({
          ...store,
          write: (change) => {
            if (told || change.to.grantId === change.from.grantId) return store.write(change)
            told = true
            return Effect.gen(function* () {
              assert.isTrue(yield* store.write(change))
              const from = Option.getOrThrow(yield* store.find(change.from.id))
              const credential = Sealed.make("theirs")
              const renewed = { generation: from.generation + 1, credential, obtainedAt: from.obtainedAt - 60_000 }
              assert.isTrue(yield* store.write({ from, to: { ...from, ...renewed }, announce: ["renewed"] }))
              return yield* new StoreError({ message: "the connection broke" })
            })
          }
        })
      }
      return Effect.gen(function* () {
        const id = yield* fresh
        const result = yield* settle(consents(yield* link(id)))
        assert.strictEqual(result.status, "ACTIVE")
        assert.strictEqual((yield* stored(id)).credential, Sealed.make("theirs"))
      }).pipe(scenario(unconfirmed))
    }
  )

  it.effect("nor a disk that takes the escrow: this process still holds it, and commits it later", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const directory = yield* temporary
      yield* Effect.gen(function* () {
        const { id } = yield* connected()
        yield* Effect.promise(() => rm(directory, { recursive: true }))
        state.failures = Infinity
        yield* refused(id)
        yield* elapse("30 seconds", "1 second")
        state.failures = 0
        assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
        assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
        assert.lengthOf((yield* Wire).sent, 1)
      }).pipe(scenario({ ...options, escrow: Escrow.layerDirectory(directory) }))
    }).pipe(Effect.scoped)
  })
})
