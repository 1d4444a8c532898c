/** A process ends while an answer is in the journal. The next process commits it before it spends a token. */
import { assert, describe, it } from "@effect/vitest"
import { Connections } from "@rekindle/core"
import { AccountStore, Consent, TokenCommit } from "@rekindle/engine"
import { nextGrantId } from "#engine/account/Account.ts"
import { ScriptedProvider } from "@rekindle/testing"
import { Clock, Effect, Logger, Option, Redacted } from "effect"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join as path } from "node:path"
import { DatabaseSync } from "node:sqlite"
import {
  attributesOf,
  beginning,
  companyConfig,
  connected,
  elapse,
  refused,
  secretsOf,
  settle,
  stored,
  summary,
  Wire
} from "../support/ScriptedEngine.ts"
import { recordsIn, refreshSlowly, restarted } from "../support/StoreTrouble.ts"

describe("a process that ends with an answer in the journal", () => {
  const leave = (state: { failures: number }) =>
    Effect.gen(function* () {
      const account = yield* connected({ expired: true })
      state.failures = Infinity
      yield* refused(account.id)
      yield* elapse("20 seconds", "1 second")
      return account
    })

  it.effect("leaves it to the next, which commits it before it spends anything", () =>
    restarted(leave, ({ id, refreshToken }, directory, state) =>
      Effect.gen(function* () {
        state.failures = 0
        const provider = yield* ScriptedProvider.ScriptedProvider
        assert.lengthOf(yield* recordsIn(directory), 1)
        assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
        assert.lengthOf((yield* Wire).sent, 0)
        const tokens = yield* secretsOf(id)
        assert.notStrictEqual(tokens["refresh_token"], refreshToken)
        assert.isTrue(yield* provider.isLive(tokens["access_token"] ?? ""))
        assert.deepStrictEqual(yield* recordsIn(directory), [])
        assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
        assert.deepInclude(yield* provider.counts, { granted: 2, revokedGrants: 0 })
      })
    ).pipe(Effect.scoped)
  )

  it.effect(
    "leaves it to the next, which throws it away where the account was removed meanwhile, and gives it to no new one",
    () =>
      restarted(leave, ({ id }, directory, state) =>
        Effect.gen(function* () {
          state.failures = 0
          const connections = yield* Connections
          yield* connections.remove(id)
          const secrets = { access_token: Redacted.make("own"), refresh_token: Redacted.make("own-refresh") }
          yield* connections.create({ id, authConfigId: "scripted", userId: "another", secrets })
          assert.lengthOf(yield* recordsIn(directory), 1)
          yield* elapse("1 second", "100 millis")
          assert.deepStrictEqual(yield* recordsIn(directory), [])
          assert.strictEqual(Redacted.value(yield* settle(connections.accessToken(id))), "own")
          assert.lengthOf((yield* Wire).sent, 0)
        })
      ).pipe(Effect.scoped)
  )

  it.effect("leaves it to the next, which commits it with nobody asking", () =>
    restarted(leave, ({ id }, directory, state) =>
      Effect.gen(function* () {
        state.failures = 0
        yield* elapse("1 second", "100 millis")
        assert.deepInclude(summary(yield* stored(id)), { generation: 2, intent: "closed" })
        assert.deepStrictEqual(yield* recordsIn(directory), [])
        assert.lengthOf((yield* Wire).sent, 0)
      })
    ).pipe(Effect.scoped)
  )

  it.effect("and a provider or machine whose clock was set back: the record is newer by its epoch", () =>
    restarted(leave, ({ id, refreshToken }, directory, state) =>
      Effect.gen(function* () {
        const store = yield* AccountStore
        const from = yield* stored(id)
        const to = { ...from, obtainedAt: from.obtainedAt + 86_400_000 }
        assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: [] })))
        state.failures = 0
        assert.deepInclude(yield* (yield* TokenCommit).settle(), { committed: 1, waiting: 0 })
        assert.notStrictEqual((yield* secretsOf(id))["refresh_token"], refreshToken)
        assert.deepStrictEqual(yield* recordsIn(directory), [])
      })
    ).pipe(Effect.scoped)
  )

  it.effect("and a verdict of a process that could not see it: the account recovers without a person", () =>
    restarted(leave, ({ id }, _, state) =>
      Effect.gen(function* () {
        const store = yield* AccountStore
        const from = yield* stored(id)
        const to = { ...from, status: "EXPIRED" as const, statusReason: "rotation_response_lost" as const }
        assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: ["expired"], endLease: from.epoch })))
        state.failures = 0
        assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
        assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", reason: null, generation: 2 })
        assert.lengthOf((yield* Wire).sent, 0)
      })
    ).pipe(Effect.scoped)
  )

  it.effect("and a person who consented meanwhile: the record is of the old grant and is dropped", () =>
    restarted(leave, ({ id }, directory, trouble) =>
      Effect.gen(function* () {
        trouble.failures = 0
        const consent = yield* Consent
        const provider = yield* ScriptedProvider.ScriptedProvider
        const { url } = yield* consent.start(yield* stored(id))
        const state = new URL(url).searchParams.get("state") ?? ""
        yield* consent.complete(new URLSearchParams({ state, code: yield* provider.authorize }))
        const tokens = yield* secretsOf(id)
        assert.deepInclude(yield* (yield* TokenCommit).settle(), { committed: 0, waiting: 0 })
        assert.deepStrictEqual(yield* secretsOf(id), tokens)
        assert.deepStrictEqual(yield* recordsIn(directory), [])
      })
    ).pipe(Effect.scoped)
  )

  /** The file of the first process. */
  const segment = async (directory: string) => {
    const names = (await readdir(directory)).filter((name) => name.endsWith(".segment"))
    for (const name of names) {
      const text = await readFile(path(directory, name), "latin1")
      if (text.startsWith("ca_")) return { file: path(directory, name), text }
    }
    return assert.fail("nothing was left")
  }

  it.effect("and damage in its file: what is sound is committed, the file stays, and the engine starts", () =>
    restarted(
      leave,
      ({ id }, directory, state) =>
        Effect.gen(function* () {
          state.failures = 0
          assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
          assert.include(yield* recordsIn(directory), "no record at all")
        }),
      async (directory) => {
        const { file, text } = await segment(directory)
        await writeFile(file, `no record at all\n${text}`, "latin1")
      }
    ).pipe(Effect.scoped)
  )

  it.effect("and a record cut short behind it: the tail is cut, and what is before it is committed", () =>
    restarted(
      leave,
      ({ id }, directory, state) =>
        Effect.gen(function* () {
          state.failures = 0
          assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { generation: 2 })
          assert.deepStrictEqual(yield* recordsIn(directory), [])
        }),
      async (directory) => {
        const { file, text } = await segment(directory)
        const written = text.slice(0, text.indexOf("\0"))
        await writeFile(file, (written + written.slice(0, 300)).padEnd(text.length, "\0"), "latin1")
      }
    ).pipe(Effect.scoped)
  )

  it.effect("changed on disk: it does not open, is not committed, is not thrown away, and stops no other", () =>
    restarted(
      (state) =>
        Effect.gen(function* () {
          const account = yield* leave(state)
          const other = yield* connected({ expired: true })
          yield* refused(other.id)
          yield* elapse("20 seconds", "1 second")
          return { id: account.id, other: other.id }
        }),
      ({ id, other }, directory, state) =>
        Effect.gen(function* () {
          state.failures = 0
          assert.deepInclude(yield* (yield* TokenCommit).settle(), { committed: 1, waiting: 0, unreadable: 1 })
          assert.lengthOf(yield* recordsIn(directory), 2)
          assert.strictEqual((yield* stored(id)).generation, 1)
          assert.strictEqual((yield* stored(other)).generation, 2)
        }),
      async (directory) => {
        const { file, text } = await segment(directory)
        const end = text.indexOf("\n")
        await writeFile(file, `${text.slice(0, end - 6)}AAAAAA${text.slice(end)}`, "latin1")
      }
    ).pipe(Effect.scoped)
  )

  it.effect(
    "and a database that does not know the account: nothing is thrown away, since it may be the wrong one",
    () => {
      const lines: Array<string> = []
      return restarted(
        leave,
        (_, directory, state) =>
          Effect.gen(function* () {
            state.failures = 0
            assert.deepInclude(yield* (yield* TokenCommit).settle(), { committed: 0, waiting: 0, unreadable: 1 })
            assert.lengthOf(yield* recordsIn(directory), 1)
            assert.lengthOf(
              lines.filter((line) => line.includes("no such account")),
              1
            )
          }),
        (directory) => rm(path(directory, "../accounts.db"))
      ).pipe(
        Effect.scoped,
        Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(JSON.stringify(message)))]))
      )
    }
  )

  it.effect("under another account's name: it does not open there", () =>
    restarted(
      (state) =>
        Effect.gen(function* () {
          yield* leave(state)
          return yield* connected({ expired: true })
        }),
      ({ id }, _, state) =>
        Effect.gen(function* () {
          state.failures = 0
          assert.deepInclude(yield* (yield* TokenCommit).settle(), { committed: 0, waiting: 0, unreadable: 1 })
          assert.strictEqual((yield* stored(id)).generation, 1)
        }),
      async (directory) => {
        const { file, text } = await segment(directory)
        const database = new DatabaseSync(path(directory, "../accounts.db"))
        const ids = database
          .prepare("SELECT id FROM rekindle_accounts")
          .all()
          .map(({ id }) => String(id))
        database.close()
        const mine = text.slice(0, text.indexOf(" "))
        const theirs = ids.find((id) => id !== mine) ?? ""
        await writeFile(file, text.replace(mine, theirs), "latin1")
      }
    ).pipe(Effect.scoped)
  )

  it.effect("of a consent: the person need not come again", () =>
    restarted(
      (state) =>
        Effect.gen(function* () {
          const consent = yield* Consent
          const provider = yield* ScriptedProvider.ScriptedProvider
          const { id, refreshToken } = yield* connected()
          yield* (yield* Connections).authConfigs.register(companyConfig)
          yield* provider.revoke(refreshToken)
          const outcome = yield* refreshSlowly(id)
          if (outcome._tag !== "RedirectRequired") return assert.fail(outcome._tag)
          const parameters = new URLSearchParams({
            state: new URL(outcome.redirectUrl).searchParams.get("state") ?? "",
            code: yield* provider.authorize,
            company: "acme"
          })
          state.failures = Infinity
          const result = yield* settle(consent.complete(parameters), "1 second")
          assert.strictEqual(result.failure?.reason, "unavailable")
          return id
        }),
      (id, directory, state) =>
        Effect.gen(function* () {
          state.failures = 0
          assert.deepStrictEqual(yield* refreshSlowly(id), { _tag: "Ready", id })
          assert.deepInclude(summary(yield* stored(id)), { status: "ACTIVE", generation: 2 })
          assert.deepInclude(yield* attributesOf(id), { company: "acme" })
          assert.deepStrictEqual(yield* recordsIn(directory), [])
          assert.lengthOf((yield* Wire).sent, 0)
        })
    ).pipe(Effect.scoped)
  )

  /** A person consents, and the answer does not get further than the journal. */
  const consents = (state: { failures: number }) =>
    Effect.gen(function* () {
      const consent = yield* Consent
      const provider = yield* ScriptedProvider.ScriptedProvider
      const { id } = yield* connected()
      const { url } = yield* consent.start(yield* stored(id))
      const parameters = new URLSearchParams({
        state: new URL(url).searchParams.get("state") ?? "",
        code: yield* provider.authorize
      })
      state.failures = Infinity
      const result = yield* settle(consent.complete(parameters), "1 second")
      assert.strictEqual(result.failure?.reason, "unavailable")
      return { id, grantId: (yield* stored(id)).grantId }
    })

  it.effect("of a consent, and a renewal of the old grant meanwhile: what the person gave wins", () =>
    restarted(consents, ({ grantId, id }, directory, state) =>
      Effect.gen(function* () {
        const store = yield* AccountStore
        const from = yield* stored(id)
        // Another process, which does not see this journal, renewed the stored credential.
        const to = { ...from, generation: from.generation + 1, obtainedAt: yield* Clock.currentTimeMillis }
        state.failures = 0
        assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: ["renewed"] })))
        yield* (yield* TokenCommit).settle()
        assert.notStrictEqual((yield* stored(id)).grantId, grantId)
        assert.deepStrictEqual(yield* recordsIn(directory), [])
      })
    ).pipe(Effect.scoped)
  )

  it.effect(
    "of a consent that was committed, and another consent since, by a clock that is behind: the later one stays",
    () =>
      restarted(consents, ({ id }, directory, state) =>
        Effect.gen(function* () {
          const store = yield* AccountStore
          const from = yield* stored(id)
          const grantId = nextGrantId("theirs", { grantId: nextGrantId("ours", from) })
          const to = { ...from, grantId, generation: from.generation + 2, obtainedAt: beginning - 3_600_000 }
          state.failures = 0
          assert.isTrue(Option.isSome(yield* store.write({ from, to, announce: ["consent_completed"] })))
          yield* (yield* TokenCommit).settle()
          assert.strictEqual((yield* stored(id)).grantId, grantId)
          assert.deepStrictEqual(yield* recordsIn(directory), [])
        })
      ).pipe(Effect.scoped)
  )
})
