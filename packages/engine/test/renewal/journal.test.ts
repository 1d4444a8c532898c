/** The store does not accept a new token. The sealed answer is in the journal, and is committed as soon as possible. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectedAccountId, ConnectedAccounts } from "@rekindle/core"
import { Journal, type JournalDisk, Sealed, StoreError, TokenCommit } from "@rekindle/engine"
import { ScriptedProvider } from "@rekindle/testing"
import { DateTime, Effect, Fiber, Layer, Logger, Option } from "effect"
import { chmod, mkdir, readdir, rm, stat } from "node:fs/promises"
import { join as path } from "node:path"
import {
  beginning,
  connected,
  elapse,
  join,
  type Options,
  refresh,
  refused,
  rest,
  scenario,
  secretsOf,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { consents, fresh, link } from "../support/ScriptedConsent.ts"
import { openDirectory } from "#engine/renewal/nodeDisk.ts"
import { recordsIn, refreshSlowly, temporary, trouble } from "../support/StoreTrouble.ts"

describe("thousands of answers in the journal that nobody can commit", () => {
  it.effect("are offered in slices: others get their turn in between", () =>
    Effect.gen(function* () {
      const journal = yield* Journal
      const tokens = yield* TokenCommit
      yield* Effect.forEach(Array.from({ length: 2_000 }), (_, index) =>
        journal.append({
          accountId: ConnectedAccountId.make(`ca_nobody${10_000 + index}`),
          sealed: Sealed.make("v2.k.nothing")
        })
      )
      let turns = 0
      const counting = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve))),
            Effect.sync(() => turns++)
          )
        )
      )
      assert.deepInclude(yield* tokens.settle(), { committed: 0, unreadable: 2_000 })
      yield* Fiber.interrupt(counting)
      assert.isAbove(turns, 30)
    }).pipe(scenario(), Effect.provide(Logger.layer([])))
  )

  it.effect("are offered less and less often, and at once when somebody asks for their account", () => {
    let offers = 0
    const options: Options = {
      store: (store) => ({
        ...store,
        isRemoved: (id) => {
          offers++
          return store.isRemoved(id)
        }
      })
    }
    return Effect.gen(function* () {
      const journal = yield* Journal
      const tokens = yield* TokenCommit
      const accountId = ConnectedAccountId.make("ca_nobody_knows")
      yield* journal.append({ accountId, sealed: Sealed.make("v2.k.nothing") })
      const hourly: Array<number> = []
      for (let hour = 0; hour < 2; hour++) {
        offers = 0
        for (let second = 0; second < 3_600; second += 15) {
          assert.deepInclude(yield* tokens.settle(), { committed: 0, waiting: 0, unreadable: 1 })
          yield* elapse("15 seconds", "15 seconds")
        }
        hourly.push(offers)
      }
      assert.deepStrictEqual(hourly, [16, 12])
      assert.deepInclude(yield* tokens.settle(accountId), { unreadable: 1 })
      assert.strictEqual(offers, 13)
    }).pipe(scenario(options), Effect.provide(Logger.layer([])))
  })
})

describe("a store that does not take a new token", () => {
  it.effect("once is asked again, and nothing is lost", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const { id } = yield* connected()
      state.failures = 3
      assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
      assert.deepInclude(summary(yield* stored(id)), { generation: 2, leased: false, intent: "closed" })
      assert.deepStrictEqual(yield* (yield* Journal).all, [])
      assert.lengthOf((yield* Wire).sent, 1)
    }).pipe(scenario(options))
  })

  for (const kind of ["fails", "is slow", "hangs"] as const) {
    it.effect(`and ${kind}: the sealed answer is on disk meanwhile, readable by us alone, and gone afterwards`, () =>
      Effect.gen(function* () {
        const directory = path(yield* temporary, "journal")
        const { options, state } = trouble()
        yield* Effect.gen(function* () {
          const accounts = yield* ConnectedAccounts
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id } = yield* connected()
          if (kind === "hangs") state.hangs = true
          else if (kind === "is slow") state.slow = "3 seconds"
          else state.failures = 40
          const caller = yield* Effect.forkChild(accounts.refresh(id))
          yield* rest
          const [record = "", ...others] = yield* recordsIn(directory)
          assert.lengthOf(others, 0)
          for (const secret of yield* provider.secrets) assert.notInclude(record, secret)
          for (const name of yield* Effect.promise(() => readdir(directory))) {
            assert.strictEqual((yield* Effect.promise(() => stat(path(directory, name)))).mode & 0o777, 0o600)
          }
          assert.strictEqual((yield* Effect.promise(() => stat(directory))).mode & 0o077, 0)
          if (kind === "hangs") {
            // A hanging write is given up with the whole commit. The next attempt finds the answer in the journal.
            yield* Fiber.interrupt(caller)
            yield* elapse("46 seconds", "500 millis")
            state.hangs = false
          } else assert.deepStrictEqual(yield* join(caller, "10 millis"), { _tag: "Ready", id })
          state.slow = 0
          if (kind !== "hangs") assert.deepStrictEqual(yield* recordsIn(directory), [])
          assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
          assert.deepStrictEqual(yield* recordsIn(directory), [])
          assert.deepInclude(yield* provider.counts, { revokedGrants: 0, replays: 0 })
        }).pipe(scenario({ ...options, journal: Journal.layerDirectory(directory) }))
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
      assert.lengthOf(yield* (yield* Journal).all, 1)
      state.failures = 0
      assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
      assert.lengthOf((yield* Wire).sent, 1)
      assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
      assert.deepStrictEqual(yield* (yield* Journal).all, [])
    }).pipe(scenario(options))
  })

  it.effect("while it takes another one slowly: both are committed, with nobody asking", () => {
    const works: Array<ConnectedAccountId> = []
    const slowFor: Array<ConnectedAccountId> = []
    const options: Options = {
      engine: { commit: { giveUp: "2 seconds" } },
      store: (store) => ({
        ...store,
        write: (change) =>
          change.to.generation === change.from.generation || works.includes(change.to.id)
            ? store.write(change)
            : slowFor.includes(change.to.id)
              ? Effect.delay(store.write(change), "3 seconds")
              : Effect.fail(new StoreError({ message: "not now" }))
      })
    }
    return Effect.gen(function* () {
      const [one, two] = [yield* connected(), yield* connected()]
      yield* refused(one.id)
      const caller = yield* Effect.forkChild(Effect.flip((yield* ConnectedAccounts).refresh(two.id)))
      yield* elapse("1 second", "100 millis")
      slowFor.push(one.id)
      // The second caller gives up while the first answer is being committed.
      yield* join(caller)
      works.push(two.id)
      yield* elapse("5 seconds", "100 millis")
      for (const { id } of [one, two]) assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
      assert.deepStrictEqual(yield* (yield* Journal).all, [])
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
              assert.isTrue(Option.isSome(yield* store.write(change)))
              const from = Option.getOrThrow(yield* store.find(change.from.id))
              const credential = Sealed.make("theirs")
              const renewed = { generation: from.generation + 1, credential, obtainedAt: from.obtainedAt - 60_000 }
              assert.isTrue(
                Option.isSome(yield* store.write({ from, to: { ...from, ...renewed }, announce: ["renewed"] }))
              )
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

  it.effect("while the journal is removed after the request: the caller does not hear that the answer is safe", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const directory = path(yield* temporary, "journal")
      yield* Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected()
        state.failures = Infinity
        const deadline = DateTime.makeUnsafe(beginning + 120_000)
        const caller = yield* Effect.forkChild(Effect.flip(accounts.refresh(id, { deadline })))
        yield* rest
        assert.lengthOf(yield* recordsIn(directory), 1)
        yield* Effect.promise(() => rm(directory, { recursive: true }))
        const error = yield* join(caller, "1 second")
        assert.deepInclude(error, { _tag: "RefreshFailed", slug: "commit_pending", disposition: "ambiguous" })
        assert.notInclude(error.message, "safe")
        state.failures = 0
        yield* elapse("1 second", "100 millis")
        assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
        assert.lengthOf((yield* Wire).sent, 1)
      }).pipe(scenario({ ...options, journal: Journal.layerDirectory(directory) }))
    }).pipe(Effect.scoped)
  })

  it.effect("and a journal that has it: the caller hears that the answer is safe", () => {
    const { options, state } = trouble()
    return Effect.gen(function* () {
      const directory = path(yield* temporary, "journal")
      yield* Effect.gen(function* () {
        const accounts = yield* ConnectedAccounts
        const { id } = yield* connected()
        state.failures = Infinity
        const deadline = DateTime.makeUnsafe(beginning + 120_000)
        const error = yield* settle(Effect.flip(accounts.refresh(id, { deadline })), "1 second")
        assert.include(error.message, "safe in the journal")
      }).pipe(scenario({ ...options, journal: Journal.layerDirectory(directory) }))
    }).pipe(Effect.scoped)
  })
})

describe("a disk that does not flush", () => {
  const stalledDisk = (directory: string, kind: "takes for ever" | "fails"): JournalDisk => {
    const disk = openDirectory(directory)
    return {
      ...disk,
      create: (name) => ({
        ...disk.create(name),
        flush: (done) => void (kind === "fails" && done(new Error("EIO")))
      })
    }
  }

  for (const kind of ["takes for ever", "fails"] as const) {
    it.effect(`and ${kind}: the answer is committed meanwhile`, () =>
      Effect.gen(function* () {
        const directory = path(yield* temporary, "journal")
        const stalled = stalledDisk(directory, kind)
        yield* Effect.gen(function* () {
          const { id } = yield* connected()
          assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { generation: 2, leased: false, intent: "closed" })
          assert.deepStrictEqual(yield* (yield* Journal).all, [])
        }).pipe(scenario({ journal: Journal.layerDisk(stalled, { durability: "power" }) }))
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(directory)), [])
      }).pipe(Effect.scoped)
    )

    it.effect(`and ${kind} while the store is down: the caller does not hear that the answer is safe`, () => {
      const { options, state } = trouble()
      return Effect.gen(function* () {
        const stalled = stalledDisk(path(yield* temporary, "journal"), kind)
        yield* Effect.gen(function* () {
          const { id } = yield* connected()
          state.failures = 1_000
          assert.include((yield* refused(id)).message, "only in the memory of this process")
          state.failures = 0
          yield* elapse("5 seconds", "500 millis")
          assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
        }).pipe(
          scenario({
            ...options,
            engine: { coordinator: { patience: "2 minutes" } },
            journal: Journal.layerDisk(stalled, { durability: "power" })
          })
        )
      }).pipe(Effect.scoped)
    })
  }
})

describe("a journal without room", () => {
  it.effect("removed with its directory: nothing is sent, and renewals go on when it is back", () =>
    Effect.gen(function* () {
      const directory = path(yield* temporary, "journal")
      yield* Effect.gen(function* () {
        const { id } = yield* connected()
        yield* Effect.promise(() => rm(directory, { recursive: true }))
        const error = yield* refused(id)
        assert.deepInclude(error, { _tag: "Unavailable", slug: "journal_unavailable" })
        assert.lengthOf((yield* Wire).sent, 0)
        assert.deepInclude(summary(yield* stored(id)), { generation: 1, intent: "closed", leased: false })
        yield* Effect.promise(() => mkdir(directory, { mode: 0o700 }))
        assert.deepStrictEqual(yield* refresh(id), { _tag: "Ready", id })
      }).pipe(scenario({ journal: Journal.layerDirectory(directory) }))
    }).pipe(Effect.scoped)
  )

  it.effect("whose directory other users can write to is refused when the layer is built", () =>
    Effect.gen(function* () {
      const directory = path(yield* temporary, "journal")
      yield* Effect.promise(() => mkdir(directory))
      yield* Effect.promise(() => chmod(directory, 0o777))
      const error = yield* Effect.flip(Layer.build(Journal.layerDirectory(directory)))
      assert.include(error.message, directory)
      assert.include(error.message, "other users can write")
    }).pipe(Effect.scoped)
  )

  it.effect("below a directory that does not exist is not made in silence: the error names it", () =>
    Effect.gen(function* () {
      const directory = path(yield* temporary, "missing", "journal")
      const error = yield* Effect.flip(Layer.build(Journal.layerDirectory(directory)))
      assert.include(error.message, directory)
      assert.include(error.message, "ENOENT")
    }).pipe(Effect.scoped)
  )
})
