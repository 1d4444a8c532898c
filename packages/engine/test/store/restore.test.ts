/**
 * The database is restored from an older snapshot. The refresh tokens in it may be spent, and the provider revokes the grant on a replay.
 */
import { assert, describe, it } from "@effect/vitest"
import type { ConnectedAccountId } from "@rekindle/core"
import { ScriptedProvider } from "@rekindle/testing"
import { AccountStore } from "@rekindle/engine/AccountStore"
import * as SqlAccountStore from "@rekindle/engine/SqlAccountStore"
import * as SqliteClient from "@rekindle/engine/SqliteClient"
import { Clock, Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { existsSync } from "node:fs"
import { copyFile, rm } from "node:fs/promises"
import { join } from "node:path"
import {
  beginning,
  connected,
  elapse,
  refresh,
  type Services,
  settle,
  start,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { temporary } from "../support/StoreTrouble.ts"

/** A machine: one database file, and a provider with single-use refresh tokens. */
const machine = Effect.gen(function* () {
  yield* TestClock.setTime(beginning)
  const folder = yield* temporary
  const filename = join(folder, "accounts.db")
  const sharedProvider = yield* ScriptedProvider.make({ accessTokenTtl: "1 hour" })
  return {
    filename,
    provider: sharedProvider,
    /** Runs in an engine of its own, which is closed afterwards. */
    engine: <A, E>(body: Effect.Effect<A, E, Services>) =>
      Effect.acquireUseRelease(
        start({ filename, sharedProvider }),
        ({ context }) => Effect.provideContext(body, context),
        ({ stop }) => settle(stop, "1 second")
      ),
    snapshot: Effect.promise(() => copyFile(filename, `${filename}.snapshot`)),
    restore: Effect.promise(async () => {
      await rm(filename)
      await copyFile(`${filename}.snapshot`, filename)
    })
  }
})

const sends = Effect.map(Wire, ({ sent }) => sent.length)

describe("a database put back from an older snapshot", () => {
  const lost = Effect.gen(function* () {
    const { engine, filename, provider, restore, snapshot } = yield* machine
    const { idle, renewed } = yield* engine(Effect.all({ renewed: connected(), idle: connected() }))
    yield* snapshot
    yield* engine(refresh(renewed.id))
    yield* restore
    return { engine, filename, provider, idle: idle.id, renewed: renewed.id }
  })

  it.effect("sends no token that may be spent while its access token lasts", () =>
    Effect.gen(function* () {
      const { engine, provider, renewed } = yield* lost
      yield* engine(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* refresh(renewed), { _tag: "Ready", id: renewed })
          assert.strictEqual(yield* sends, 0)
          assert.deepInclude(summary(yield* stored(renewed)), { status: "ACTIVE", intent: "open", leased: false })
        })
      )
      assert.deepInclude(yield* provider.counts, { replays: 0, revokedGrants: 0 })
    }).pipe(Effect.scoped)
  )

  it.effect("tries a token once when its access token is over: it works where it was not spent", () =>
    Effect.gen(function* () {
      const { engine, idle, provider, renewed } = yield* lost
      const tried = (id: ConnectedAccountId) =>
        Effect.gen(function* () {
          const before = yield* sends
          const { _tag } = yield* refresh(id)
          return [_tag, (yield* sends) - before, (yield* stored(id)).statusReason] as const
        })
      yield* engine(
        Effect.gen(function* () {
          yield* elapse("2 hours", "1 minute")
          assert.deepStrictEqual(yield* tried(idle), ["Ready", 1, null])
          assert.deepStrictEqual(yield* tried(renewed), ["RedirectRequired", 1, "rotation_response_lost"])
          assert.deepStrictEqual(yield* tried(renewed), ["RedirectRequired", 0, "rotation_response_lost"])
        })
      )
      assert.deepInclude(yield* provider.counts, { replays: 1 })
    }).pipe(Effect.scoped)
  )

  it.effect("is noticed once: what is renewed afterwards is in no doubt after the next start", () =>
    Effect.gen(function* () {
      const { engine, idle } = yield* lost
      yield* engine(Effect.andThen(elapse("2 hours", "1 minute"), refresh(idle)))
      yield* engine(Effect.map(stored(idle), (account) => assert.isNull(account.intent)))
    }).pipe(Effect.scoped)
  )

  it.effect("whose mark is missing is in doubt as well", () =>
    Effect.gen(function* () {
      const { engine, filename } = yield* machine
      const { id } = yield* engine(connected())
      yield* engine(refresh(id))
      yield* Effect.promise(() => rm(`${filename}.mark`))
      yield* engine(Effect.map(stored(id), (account) => assert.isNotNull(account.intent)))
    }).pipe(Effect.scoped)
  )

  it.effect("can be declared by hand, where it cannot be detected", () =>
    Effect.gen(function* () {
      const { engine, filename } = yield* machine
      const { id } = yield* engine(connected())
      const doubted = yield* AccountStore.use(({ doubtAll }) => doubtAll).pipe(
        Effect.provide(SqlAccountStore.layer.pipe(Layer.provide(SqliteClient.layer(filename))))
      )
      assert.strictEqual(doubted, 1)
      yield* engine(
        Effect.gen(function* () {
          yield* refresh(id)
          assert.strictEqual(yield* sends, 0)
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("a database that was only stopped", () => {
  it.effect("is in no doubt", () =>
    Effect.gen(function* () {
      const { engine } = yield* machine
      const { id } = yield* engine(connected())
      yield* engine(refresh(id))
      yield* engine(refresh(id))
      yield* engine(Effect.map(stored(id), (account) => assert.isNull(account.intent)))
    }).pipe(Effect.scoped)
  )

  it.effect("is not taken for a restored one by a process that starts while another takes the first lease", () =>
    Effect.gen(function* () {
      const { engine, filename } = yield* machine
      yield* engine(
        Effect.gen(function* () {
          const { id } = yield* connected()
          // Nothing was sent yet.
          assert.isTrue(existsSync(`${filename}.mark`))
          const held = yield* stored(id)
          const store = yield* AccountStore
          const leased = yield* store.begin({
            account: held,
            owner: "a process at work",
            leaseMillis: 60_000,
            now: yield* Clock.currentTimeMillis
          })
          assert.isTrue(Option.isSome(leased))
          yield* engine(Effect.void)
          assert.strictEqual((yield* stored(id)).revision, held.revision)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("leaves a current lease to its holder, and no other process sends", () =>
    Effect.gen(function* () {
      const { engine } = yield* machine
      yield* engine(
        Effect.gen(function* () {
          const { id } = yield* connected()
          const store = yield* AccountStore
          yield* store.begin({
            account: yield* stored(id),
            owner: "a process at work",
            leaseMillis: 60_000,
            now: yield* Clock.currentTimeMillis
          })
          yield* store.doubtAll
          assert.strictEqual((yield* stored(id)).lease?.owner, "a process at work")
        })
      )
    }).pipe(Effect.scoped)
  )
})
