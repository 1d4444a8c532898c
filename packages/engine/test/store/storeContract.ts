/**
 * The contract of every account store, as one suite. It runs on the real clock, because Postgres does. Expired leases are made by taking them
 * for zero milliseconds.
 *
 * @module
 */
import { assert, layer, type Vitest } from "@effect/vitest"
import { ConnectedAccountId, KnownStatus } from "@rekindle/core"
import {
  type Account,
  type AccountPlace,
  type AccountQuery,
  type AccountStore,
  type AbandonedPlace,
  type ConsentAttempt,
  type IdPlace,
  Sealed,
  type StoreError
} from "@rekindle/engine"
import { visibleStatus } from "@rekindle/engine/Account"
import { Array as Arr, Context, Effect, Fiber, type Layer, Option, type Scope, Stream } from "effect"
import type { Migrator, SqlError } from "effect/sql"
import { pages } from "#engine/account/pages.ts"
import { randomUUID } from "node:crypto"

/** The store under test. */
export class Stores extends Context.Service<
  Stores,
  {
    /** The store as another process would have it. */
    readonly connect: Effect.Effect<
      AccountStore["Service"],
      Migrator.MigrationError | SqlError.SqlError | StoreError,
      Scope.Scope
    >
    /** Removes everything. */
    readonly clear: Effect.Effect<void, SqlError.SqlError>
    /** Says that the open intents, or that of one account, began at another time. */
    readonly dateIntents: (since: number, id?: ConnectedAccountId) => Effect.Effect<void, SqlError.SqlError>
  }
>()("@rekindle/engine/test/Stores") {}

export const sealed = (text: string) => Sealed.make(`v1.key.${text}`)
export const configId = "config"
export const configRef = { projectId: "project", authConfigId: configId }

export const newId = () => ConnectedAccountId.make(`ca_${randomUUID().replaceAll("-", "")}`)

/** An account with a different value in every column. */
export const account = (overrides: Partial<Account> = {}, id = newId()): Account => ({
  id,
  publicId: id,
  projectId: "project",
  authConfigId: configId,
  toolkit: "töölkit 'quoted' \"twice\"",
  userId: "user\nwith a line break",
  alias: null,
  scheme: "OAUTH2",
  status: "ACTIVE",
  statusReason: null,
  generation: 3,
  revision: 7,
  grantId: "grant",
  credential: sealed("now"),
  previousCredential: sealed("before"),
  obtainedAt: 1_700_000_000_001,
  obtainedEpoch: 4,
  expiresAt: 1_700_000_000_002,
  renewAt: 1_700_000_000_003,
  consentUntil: 1_700_000_000_004,
  lease: null,
  epoch: 5,
  intent: null,
  withdrawal: { state: "pending", attempts: 2, answer: "http_503" },
  lastAttempt: null,
  createdAt: 1_700_000_000_005,
  updatedAt: 1_700_000_000_006,
  ...overrides
})

export const attemptFor = (accountId: ConnectedAccountId, overrides: Partial<ConsentAttempt> = {}): ConsentAttempt => ({
  stateHash: randomUUID(),
  accountId,
  sealed: sealed("memo"),
  redirectUrl: null,
  createdAt: 1_700_000_000_000,
  takenAt: null,
  expiresAt: 1_700_000_600_000,
  ...overrides
})

/** Fills an empty store with one auth config. */
export const startOn = Effect.fnUntraced(function* (store: AccountStore["Service"]) {
  yield* store.putAuthConfig({ id: configId, projectId: "project", sealed: sealed("config"), updatedAt: 1 })
  const reread = (id: ConnectedAccountId) => Effect.map(store.find(id), Option.getOrThrow)
  const added = (overrides: Partial<Account> = {}) =>
    Effect.tap(Effect.succeed(account(overrides)), (each) => store.insert(each))
  const addedMany = (count: number, overrides: Partial<Account> = {}) =>
    Effect.forEach(Array.from({ length: count }), () => added(overrides))
  return { store, reread, added, addedMany }
})

/** A store that has one auth config. */
const start = Effect.gen(function* () {
  const { clear, connect, dateIntents } = yield* Stores
  yield* clear
  return { ...(yield* startOn(yield* connect)), dateIntents }
})

/** Stores, each as a process of its own has it. */
const otherStores = (count: number) => Effect.flatMap(Stores, ({ connect }) => Effect.replicateEffect(connect, count))

export const take = (
  store: AccountStore["Service"],
  held: Account,
  { leaseMillis = 60_000, owner = "owner" }: { readonly leaseMillis?: number; readonly owner?: string } = {}
) => store.begin({ account: held, owner, leaseMillis, now: Date.now() })

export const result = (epoch: number) => ({ epoch, verdict: "Transient", code: "503", retryAt: 17 }) as const

const around = (actual: number | undefined, expected: number) =>
  // The tolerance, in milliseconds, allows for a busy machine.
  assert.approximately(actual ?? Number.NaN, expected, 20_000)

/** Defines the suite, and `more` tests on the same stores. */
export const suite = <R, E>(
  name: string,
  stores: Layer.Layer<Stores | R, E>,
  more: (it: Vitest.MethodsNonLive<Stores | R>) => void = () => {}
) => {
  layer(stores, { excludeTestServices: true })(name, (it) => {
    more(it)

    it.effect("an account comes back as it was written, column by column", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const first = yield* added({ publicId: newId() })
        assert.deepStrictEqual(yield* reread(first.id), first)
        const second: Account = {
          ...first,
          status: "EXPIRED",
          statusReason: "grant_dead",
          generation: 4,
          grantId: "other grant",
          credential: sealed("later"),
          previousCredential: first.credential,
          obtainedAt: 1_800_000_000_001,
          obtainedEpoch: 5,
          expiresAt: 1_800_000_000_002,
          renewAt: 1_800_000_000_003,
          consentUntil: 1_800_000_000_004,
          updatedAt: 1_800_000_000_006
        }
        const written = yield* store.write({ from: first, to: second, announce: [] })
        assert.deepStrictEqual(yield* reread(first.id), { ...second, revision: 8 })
        assert.deepStrictEqual(written, Option.some(yield* reread(first.id)))
        const bare = yield* added({
          credential: null,
          previousCredential: null,
          expiresAt: null,
          renewAt: null,
          consentUntil: null,
          status: "INITIALIZING"
        })
        assert.deepStrictEqual(yield* reread(bare.id), bare)
      })
    )

    it.effect("an id is given once, whoever asks at the same time", () =>
      Effect.gen(function* () {
        yield* start
        const stores = yield* otherStores(3)
        const one = account()
        const inserted = yield* Effect.forEach([...stores, ...stores], (store) => store.insert(one), {
          concurrency: "unbounded"
        })
        assert.strictEqual(inserted.filter((each) => each).length, 1)
      })
    )

    it.effect("an unknown account is none", () =>
      Effect.gen(function* () {
        const { store } = yield* start
        assert.isTrue(Option.isNone(yield* store.find(account().id)))
        assert.isTrue(Option.isNone(yield* take(store, account())))
        assert.isTrue(Option.isNone(yield* store.write({ from: account(), to: account(), announce: ["renewed"] })))
      })
    )

    it.effect("an auth config is replaced by one with its id", () =>
      Effect.gen(function* () {
        const { store } = yield* start
        const config = { id: configId, projectId: "project", sealed: sealed("changed"), updatedAt: 2 }
        yield* store.putAuthConfig(config)
        const kept = { ...config, createdAt: 1, disabledAt: null }
        assert.deepStrictEqual(yield* store.findAuthConfig(configRef), Option.some(kept))
        assert.deepStrictEqual((yield* store.listAuthConfigs({ limit: 10 })).items, [kept])
        assert.isTrue(Option.isNone(yield* store.findAuthConfig({ ...configRef, authConfigId: "unknown" })))
      })
    )

    it.effect("an auth config of another project's id is another one, and so is an account", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const config = { id: configId, projectId: "another", sealed: sealed("another"), updatedAt: 2 }
        yield* store.putAuthConfig(config)
        const kept = { ...config, createdAt: 2, disabledAt: null }
        const ref = { projectId: "another", authConfigId: configId }
        assert.deepStrictEqual(yield* store.findAuthConfig(ref), Option.some(kept))
        assert.notDeepEqual(yield* store.findAuthConfig(configRef), Option.some(kept))
        const one = yield* added()
        const other = yield* added({ projectId: "another", publicId: one.publicId })
        assert.deepStrictEqual(yield* store.findIn("project", one.publicId), Option.some(one))
        assert.deepStrictEqual(yield* store.findIn("another", one.publicId), Option.some(other))
        assert.isTrue(Option.isNone(yield* store.findIn("nobody's", one.publicId)))
        assert.isFalse(yield* store.insert(account({ publicId: one.publicId })))
      })
    )

    it.effect("accounts are listed by either time, in either direction, page by page", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const times = [1, 2, 2, 3]
        const made = yield* Effect.forEach(times, (time) => added({ createdAt: time, updatedAt: 10 - time }))
        for (const orderBy of ["createdAt", "updatedAt"] as const) {
          for (const direction of ["asc", "desc"] as const) {
            const query = { projectId: "project", now: 50, orderBy, direction, limit: 1 }
            const read = (after: AccountPlace | undefined) => store.list({ ...query, after })
            const seen = (yield* Stream.runCollect(pages(read))).flatMap(({ items }) => items)
            const ascending = made.toSorted((one, two) => one[orderBy] - two[orderBy] || (one.id < two.id ? -1 : 1))
            assert.deepStrictEqual(seen, direction === "asc" ? ascending : ascending.toReversed())
          }
        }
      })
    )

    it.effect("two accounts of a user and toolkit never have the same alias", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added({ alias: "work" })
        const elsewhere = [
          { userId: "another" },
          { toolkit: "another" },
          { alias: null },
          { alias: null },
          { alias: "home" }
        ]
        for (const other of elsewhere) assert.isTrue(yield* store.insert(account({ alias: "work", ...other })))
        assert.isFalse(yield* store.insert(account({ alias: "work" })))
        const query = { projectId: "project", now: 50, limit: 10, userIds: [one.userId], toolkits: [one.toolkit] }
        assert.deepStrictEqual((yield* store.list({ ...query, aliases: ["work"] })).items, [one])
        // Writes that share a statement with the refused one are not lost.
        const [other, third] = [yield* added(), yield* added()]
        const rename = (from: Account, alias: string) => store.write({ from, to: { ...from, alias }, announce: [] })
        const written = yield* Effect.all([rename(other, "work"), rename(third, "third")], { concurrency: "unbounded" })
        assert.deepStrictEqual(written.map(Option.isSome), [false, true])
        assert.deepStrictEqual(yield* reread(other.id), other)
        assert.strictEqual((yield* reread(third.id)).alias, "third")
        assert.isTrue(Option.isSome(yield* store.write({ from: one, to: { ...one, alias: null }, announce: [] })))
        assert.isTrue(Option.isSome(yield* rename(other, "work")))
      })
    )

    it.effect("accounts are listed newest first, by page, and each filter keeps what it names", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        yield* store.putAuthConfig({ id: "second", projectId: "project", sealed: sealed("second"), updatedAt: 1 })
        yield* store.putAuthConfig({ id: configId, projectId: "another", sealed: sealed("another"), updatedAt: 1 })
        const query = { projectId: "project", now: 50 }
        const old = yield* added({ createdAt: 1, userId: "ann" })
        // Accounts of the same age are ordered by id.
        const twins = yield* Effect.forEach(["bea", "cy"], (userId) =>
          added({ createdAt: 2, userId, authConfigId: "second", toolkit: "mail" })
        )
        yield* added({ projectId: "another", createdAt: 3 })
        const [newest, ...older] = [...twins.toSorted((one, two) => (one.id < two.id ? 1 : -1)), old]
        assert.deepStrictEqual((yield* store.list({ ...query, limit: 10 })).items, [newest, ...older])
        assert.deepStrictEqual((yield* store.list({ ...query, limit: 1 })).items, [newest])
        assert.deepStrictEqual((yield* store.list({ ...query, limit: 10, after: newest })).items, older)
        const listed = (filter: Partial<AccountQuery>) =>
          Effect.gen(function* () {
            const found = (yield* store.list({ ...query, ...filter, limit: 10 })).items
            assert.strictEqual(yield* store.count({ ...query, ...filter }), found.length)
            return found.map(({ userId }) => userId).toSorted()
          })
        assert.deepStrictEqual(yield* listed({}), ["ann", "bea", "cy"])
        assert.deepStrictEqual(yield* listed({ userIds: ["ann", "cy", "nobody"] }), ["ann", "cy"])
        assert.deepStrictEqual(yield* listed({ authConfigIds: ["second"] }), ["bea", "cy"])
        assert.deepStrictEqual(yield* listed({ toolkits: ["mail"], userIds: ["bea"] }), ["bea"])
        assert.deepStrictEqual(yield* listed({ ids: [old.publicId] }), ["ann"])
        assert.deepStrictEqual(yield* listed({ ids: [] }), [])
        assert.deepStrictEqual(yield* listed({ projectId: "nobody's" }), [])
      })
    )

    it.effect("accounts are found by the status that others see, which time alone can change", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const now = 50
        const stored = KnownStatus.literals.flatMap((status) =>
          [null, "grant_dead" as const].flatMap((statusReason) =>
            [null, now - 1, now, now + 1].flatMap((expiresAt) =>
              [null, now - 1, now, now + 1].map((consentUntil) => ({ status, statusReason, expiresAt, consentUntil }))
            )
          )
        )
        const accounts = yield* Effect.forEach([...stored, { status: "ACTIVE" as const, credential: null }], (each) =>
          added(each)
        )
        for (const status of KnownStatus.literals) {
          const found = (yield* store.list({ projectId: "project", now, statuses: [status], limit: 1_000 })).items
          assert.sameMembers(
            found.map(({ id }) => id),
            accounts.filter((each) => visibleStatus(each, now).status === status).map(({ id }) => id),
            status
          )
        }
      })
    )

    it.effect("a removed account leaves nothing behind but its id, which no account has again", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const [one, other] = [yield* added(), yield* added()]
        for (const from of [one, other])
          yield* store.write({ from, to: from, announce: [], attempt: attemptFor(from.id) })
        for (const { id } of [one, other])
          yield* store.reserveKey({ keyHash: id, accountId: id, requestHash: "r", now: 1, expireBefore: 0 })
        assert.isFalse(yield* store.isRemoved(one.id))
        assert.isTrue(yield* store.remove(one, 9))
        assert.isFalse(yield* store.remove(one, 10))
        assert.isTrue(yield* store.isRemoved(one.id))
        assert.isTrue(Option.isNone(yield* store.find(one.id)))
        assert.isTrue(Option.isNone(yield* store.write({ from: one, to: one, announce: ["renewed"] })))
        assert.isFalse(yield* store.insert(account({}, one.id)))
        assert.isTrue(yield* store.insert(account({ publicId: one.publicId })))
      })
    )

    it.effect(
      "an auth config is disabled and enabled, stays so when it is replaced, and can be removed once it has no accounts",
      () =>
        Effect.gen(function* () {
          const { added, store } = yield* start
          const one = yield* added({ renewAt: 1 })
          const revoked = yield* added({ renewAt: 2, status: "REVOKED" })
          assert.isTrue(yield* store.switchAuthConfig(configRef, 7))
          const config = { id: configId, projectId: "project", sealed: sealed("changed"), updatedAt: 8 }
          yield* store.putAuthConfig(config)
          const { countAuthConfigs, listAuthConfigs } = store
          for (const isDisabled of [true, false]) {
            const query = { projectId: "project", isDisabled }
            const { items } = yield* listAuthConfigs({ ...query, limit: 10 })
            assert.strictEqual(yield* countAuthConfigs(query), items.length)
            assert.isTrue(items.every(({ disabledAt }) => (disabledAt !== null) === isDisabled))
          }
          assert.strictEqual(yield* countAuthConfigs({ projectId: "project" }), 1)
          assert.deepStrictEqual((yield* store.listAuthConfigs({ projectId: "project", limit: 10 })).items, [
            { ...config, createdAt: 1, disabledAt: 7 }
          ])
          // Its accounts are not renewed, but revoked ones are still withdrawn.
          const claim = store.claimDue({ config: configRef, now: 10, nextLook: 20, limit: 10 })
          assert.lengthOf(yield* store.dueConfigs(10), 1)
          assert.deepStrictEqual(
            (yield* claim).map(({ id }) => id),
            [revoked.id]
          )
          assert.deepStrictEqual(yield* store.dueConfigs(10), [])
          assert.isTrue(yield* store.switchAuthConfig(configRef, null))
          assert.deepStrictEqual(
            (yield* claim).map(({ id }) => id),
            [one.id]
          )
          assert.strictEqual(yield* store.removeAuthConfig(configRef), "in-use")
          for (const each of [one, revoked]) yield* store.remove(each, 9)
          assert.strictEqual(yield* store.removeAuthConfig(configRef), "removed")
          assert.strictEqual(yield* store.removeAuthConfig(configRef), "absent")
          assert.isFalse(yield* store.switchAuthConfig(configRef, 1))
        })
    )

    // --- begin ----------------------------------------------------------------------------------------------------------------

    it.effect("begin takes the lease and writes the intent", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const leased = Option.getOrThrow(yield* take(store, one))
        const { intent, lease } = leased
        assert.deepStrictEqual(leased, { ...one, epoch: 6, lease, intent })
        assert.strictEqual(lease?.owner, "owner")
        assert.strictEqual(lease?.epoch, 6)
        around(lease?.until, Date.now() + 60_000)
        assert.deepStrictEqual({ ...intent, since: 0 }, { generation: 3, since: 0, attempts: 1 })
        around(intent?.since, Date.now())
        const read = yield* reread(one.id)
        assert.deepStrictEqual({ ...read, lease: null, intent: null }, { ...leased, lease: null, intent: null })
      })
    )

    it.effect("of many who begin at once, in several clients, exactly one wins", () =>
      Effect.gen(function* () {
        const { added } = yield* start
        const stores = yield* otherStores(4)
        const contenders = stores.flatMap((store) => Array.from({ length: 10 }, () => store))
        for (let round = 0; round < 5; round++) {
          const one = yield* added()
          const won = yield* Effect.forEach(
            contenders,
            (store, index) => take(store, one, { owner: `owner-${index}` }),
            {
              concurrency: "unbounded"
            }
          )
          assert.strictEqual(won.filter(Option.isSome).length, 1)
        }
      })
    )

    it.effect("begin refuses a caller with an older revision, an older epoch, or another intent", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        assert.isTrue(Option.isNone(yield* take(store, { ...one, revision: 6 })))
        assert.isTrue(Option.isNone(yield* take(store, { ...one, epoch: 4 })))
        const leased = Option.getOrThrow(yield* take(store, one, { leaseMillis: 0 }))
        yield* store.release({ id: one.id, epoch: 6, keepIntent: false, renewAt: null, result: result(6) })
        assert.isTrue(Option.isNone(yield* take(store, leased)))
        const { intent } = leased
        assert.isTrue(Option.isNone(yield* take(store, { ...(yield* reread(one.id)), intent })))
        assert.isTrue(Option.isSome(yield* take(store, yield* reread(one.id))))
      })
    )

    it.effect(
      "a lease that holds is nobody else's, and one that ran out is: the epoch grows, and the intent keeps its beginning",
      () =>
        Effect.gen(function* () {
          const { added, dateIntents, store } = yield* start
          const one = yield* added()
          const held = Option.getOrThrow(yield* take(store, one))
          assert.isTrue(Option.isNone(yield* take(store, held)))
          const two = yield* added()
          const lapsed = Option.getOrThrow(yield* take(store, two, { leaseMillis: -5_000 }))
          yield* dateIntents(Date.now() - 3_600_000)
          const taken = Option.getOrThrow(yield* take(store, lapsed, { owner: "heir" }))
          assert.strictEqual(taken.epoch, 7)
          assert.strictEqual(taken.lease?.owner, "heir")
          assert.strictEqual(taken.intent?.attempts, 2)
          around(taken.intent?.since, Date.now() - 3_600_000)
        })
    )

    it.effect(
      "a lease is later than the one that the credential came from, also after a snapshot took the epoch back",
      () =>
        Effect.gen(function* () {
          const { added, addedMany, reread, store } = yield* start
          const one = yield* added({ epoch: 4, obtainedEpoch: 6 })
          const leased = Option.getOrThrow(yield* take(store, one))
          assert.deepStrictEqual([leased.epoch, leased.lease?.epoch, (yield* reread(one.id)).epoch], [7, 7, 7])
          const many = yield* addedMany(3, { epoch: 4, obtainedEpoch: 6 })
          const atOnce = yield* Effect.forEach(many, (each) => take(store, each), { concurrency: "unbounded" })
          assert.deepStrictEqual(
            atOnce.map((each) => Option.getOrThrow(each).epoch),
            [7, 7, 7]
          )
          for (const { id } of many) assert.strictEqual((yield* reread(id)).epoch, 7)
        })
    )

    // --- many callers at once -----------------------------------------------------------------------------------------------------

    it.effect("of callers who ask at once each gets its own answer", () =>
      Effect.gen(function* () {
        const { addedMany, reread, store } = yield* start
        const ones = yield* addedMany(60)
        const atOnce = { concurrency: "unbounded" } as const
        const unknown = account()
        const found = yield* Effect.forEach([...ones, unknown], ({ id }) => store.find(id), atOnce)
        assert.deepStrictEqual(found, [...ones.map(Option.some), Option.none()])
        const named = yield* Effect.forEach([...ones, unknown], (one) => store.findIn("project", one.publicId), atOnce)
        assert.deepStrictEqual(named, found)
        // Every fifth has read an older revision.
        const late = (index: number) => index % 5 === 0
        const seen = ones.map((one, index) => (late(index) ? { ...one, revision: 6 } : one))
        const leased = yield* Effect.forEach(
          seen,
          (one, index) => take(store, one, { owner: `owner-${index}` }),
          atOnce
        )
        assert.deepStrictEqual(
          leased.map(Option.isNone),
          ones.map((_, index) => late(index))
        )
        const holders = leased.flatMap(Option.toArray)
        for (const holder of holders) assert.deepInclude(yield* reread(holder.id), { epoch: 6, revision: 7 })
        assert.strictEqual(new Set(holders.map(({ lease }) => lease?.owner)).size, 48)
        const written = yield* Effect.forEach(
          ones,
          (from, index) =>
            store.write({
              from: late(index) ? { ...from, revision: 6 } : from,
              to: { ...from, generation: 4, obtainedAt: index, withdrawal: null },
              announce: index % 2 === 0 ? ["renewed", "recovered"] : ["renewed"]
            }),
          atOnce
        )
        assert.deepStrictEqual(
          written.map(Option.isSome),
          ones.map((_, index) => !late(index))
        )
        for (const [index, one] of ones.entries()) {
          const { epoch, intent, lease, obtainedAt, revision } = yield* reread(one.id)
          if (late(index)) assert.deepStrictEqual([epoch, revision], [5, 7])
          else
            assert.deepStrictEqual(
              { epoch, intent, lease, obtainedAt, revision },
              { epoch: 6, intent: null, lease: null, obtainedAt: index, revision: 8 }
            )
          const events = (yield* store.readOutbox(0, 1_000)).items.filter(({ accountId }) => accountId === one.id)
          assert.deepStrictEqual(
            events.map(({ type }) => type),
            late(index) ? [] : index % 2 === 0 ? ["renewed", "recovered"] : ["renewed"]
          )
        }
      })
    )

    it.effect("a write that ends its own lease is refused to an older epoch, whoever writes at the same time", () =>
      Effect.gen(function* () {
        const { addedMany, reread, store } = yield* start
        const ones = yield* addedMany(20)
        const leased = yield* Effect.forEach(ones, (one) => Effect.map(take(store, one), Option.getOrThrow))
        const written = yield* Effect.forEach(
          leased,
          (from, index) =>
            store.write({
              from,
              to: { ...from, status: "EXPIRED" },
              announce: ["expired"],
              endLease: index % 2 === 0 ? 6 : 5
            }),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          written.map(Option.isSome),
          ones.map((_, index) => index % 2 === 0)
        )
        for (const [index, one] of ones.entries()) {
          const { lease, status } = yield* reread(one.id)
          assert.deepStrictEqual([lease === null, status], index % 2 === 0 ? [true, "EXPIRED"] : [false, "ACTIVE"])
        }
      })
    )

    it.effect("a caller who leaves does not stop the others", () =>
      Effect.gen(function* () {
        const { addedMany, reread, store } = yield* start
        const ones = yield* addedMany(20)
        const writing = yield* Effect.forEach(ones, (from) =>
          Effect.forkChild(store.write({ from, to: { ...from, obtainedAt: 5 }, announce: [] }), {
            startImmediately: true
          })
        )
        const leaving = writing.filter((_, index) => index % 3 === 0)
        yield* Effect.forEach(leaving, (fiber) => Fiber.interrupt(fiber), { concurrency: "unbounded", discard: true })
        for (const [index, fiber] of writing.entries()) {
          if (index % 3 === 0) continue
          assert.isTrue(Option.isSome(yield* Fiber.join(fiber)))
          assert.strictEqual((yield* reread(ones[index]?.id ?? newId())).obtainedAt, 5)
        }
      })
    )

    // --- write and release ------------------------------------------------------------------------------------------------------

    it.effect("of many writes to one revision exactly one takes effect, and only its announcement", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const stores = yield* otherStores(4)
        const one = yield* added()
        const writers = stores.flatMap((store) => Array.from({ length: 5 }, () => store))
        const written = yield* Effect.forEach(
          writers,
          (store, index) => store.write({ from: one, to: { ...one, obtainedAt: index }, announce: ["renewed"] }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(Arr.getSomes(written).length, 1)
        const read = yield* reread(one.id)
        assert.strictEqual(read.obtainedAt, written.findIndex(Option.isSome))
        assert.deepStrictEqual(Arr.getSomes(written), [read])
        assert.strictEqual(read.revision, 8)
        assert.strictEqual((yield* store.readOutbox(0, 100)).items.length, 1)
      })
    )

    it.effect("announcements carry what was written, in their order", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const one = yield* added({ status: "EXPIRED", statusReason: "grant_dead" })
        const to: Account = { ...one, status: "ACTIVE", statusReason: null, generation: 4, updatedAt: 99 }
        assert.isTrue(Option.isSome(yield* store.write({ from: one, to, announce: ["renewed", "recovered"] })))
        const common = {
          projectId: one.projectId,
          accountId: one.publicId,
          status: "ACTIVE",
          statusReason: null,
          generation: 4,
          at: 99
        }
        assert.deepStrictEqual(
          (yield* store.readOutbox(0, 10)).items.map(({ sequence: _, ...event }) => event),
          [
            { ...common, type: "renewed" },
            { ...common, type: "recovered" }
          ]
        )
      })
    )

    it.effect("a consent attempt that cannot be kept leaves the account and the outbox alone", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const attempt = attemptFor(one.id)
        const to = { ...one, consentUntil: 12 }
        const at = attempt.createdAt
        assert.isTrue(Option.isSome(yield* store.write({ from: one, to, announce: ["consent_started"], at, attempt })))
        const after = yield* reread(one.id)
        const error = yield* Effect.flip(
          store.write({ from: after, to: { ...after, consentUntil: 13 }, announce: ["consent_started"], attempt })
        )
        assert.strictEqual(error._tag, "StoreError")
        assert.deepStrictEqual(yield* reread(one.id), after)
        const announced = (yield* store.readOutbox(0, 10)).items
        assert.deepStrictEqual(
          announced.map(({ at }) => at),
          [at]
        )
      })
    )

    it.effect("a new generation ends every lease and intent", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const leased = Option.getOrThrow(yield* take(store, one))
        assert.isTrue(
          Option.isSome(yield* store.write({ from: one, to: { ...leased, generation: 4 }, announce: ["renewed"] }))
        )
        const { epoch, intent, lastAttempt, lease } = yield* reread(one.id)
        assert.deepStrictEqual(
          { epoch, intent, lastAttempt, lease },
          { epoch: 6, intent: null, lastAttempt: null, lease: null }
        )
      })
    )

    it.effect("another change leaves the lease and the intent alone", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const leased = Option.getOrThrow(yield* take(store, one))
        assert.isTrue(
          Option.isSome(
            yield* store.write({
              from: one,
              to: { ...one, status: "INACTIVE", statusReason: "disabled" },
              announce: []
            })
          )
        )
        const read = yield* reread(one.id)
        assert.strictEqual(read.lease?.owner, leased.lease?.owner)
        assert.strictEqual(read.intent?.attempts, 1)
      })
    )

    it.effect("a write that ends a lease is its holder's alone", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const first = Option.getOrThrow(yield* take(store, one, { leaseMillis: 0 }))
        const second = Option.getOrThrow(yield* take(store, first))
        const expired = { ...one, status: "EXPIRED", statusReason: "grant_dead" } as const
        assert.isTrue(
          Option.isNone(yield* store.write({ from: one, to: expired, announce: ["expired"], endLease: first.epoch }))
        )
        assert.strictEqual((yield* reread(one.id)).lease?.epoch, second.epoch)
        assert.isTrue(
          Option.isSome(yield* store.write({ from: one, to: expired, announce: ["expired"], endLease: second.epoch }))
        )
        const read = yield* reread(one.id)
        assert.isNull(read.lease)
        assert.isNull(read.intent)
        assert.strictEqual((yield* store.readOutbox(0, 10)).items.length, 1)
      })
    )

    it.effect("release ends the lease and stores the result; the intent stays if asked for", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        for (const keepIntent of [true, false]) {
          const one = yield* added()
          const leased = Option.getOrThrow(yield* take(store, one))
          yield* store.release({ id: one.id, epoch: 6, keepIntent, renewAt: 44, result: result(6) })
          const read = yield* reread(one.id)
          assert.deepStrictEqual({ ...read, intent: null }, { ...one, epoch: 6, renewAt: 44, lastAttempt: result(6) })
          assert.strictEqual(read.intent?.attempts, keepIntent ? leased.intent?.attempts : undefined)
        }
      })
    )

    it.effect("release does nothing for a former holder, and gives no due time to an account without one", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const first = Option.getOrThrow(yield* take(store, one, { leaseMillis: 0 }))
        const second = Option.getOrThrow(yield* take(store, first, { owner: "heir" }))
        yield* store.release({
          id: one.id,
          epoch: first.epoch,
          keepIntent: false,
          renewAt: 44,
          result: result(first.epoch)
        })
        const read = yield* reread(one.id)
        assert.strictEqual(read.lease?.owner, "heir")
        assert.isNull(read.lastAttempt)
        assert.isTrue(
          Option.isSome(
            yield* store.write({ from: read, to: { ...read, status: "INACTIVE", renewAt: null }, announce: [] })
          )
        )
        yield* store.release({
          id: one.id,
          epoch: second.epoch,
          keepIntent: false,
          renewAt: 44,
          result: result(second.epoch)
        })
        assert.isNull((yield* reread(one.id)).renewAt)
      })
    )

    // --- looking for work -------------------------------------------------------------------------------------------------------

    it.effect("due accounts are handed out once, soonest first", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const due = yield* Effect.forEach([30, 10, 20, 50, 40], (renewAt) => added({ renewAt }))
        yield* added({ renewAt: 101 })
        yield* added({ renewAt: null })
        const sorted = due
          .toSorted((a, b) => (a.renewAt ?? 0) - (b.renewAt ?? 0))
          .map(({ authConfigId, generation, id, projectId, renewAt }) => ({
            id,
            projectId,
            authConfigId,
            generation,
            dueAt: renewAt ?? 0,
            isUnderWay: false
          }))
        assert.deepStrictEqual(
          yield* store.claimDue({ config: configRef, now: 100, nextLook: 200, limit: 2 }),
          sorted.slice(0, 2)
        )
        assert.deepStrictEqual(
          yield* store.claimDue({ config: configRef, now: 100, nextLook: 200, limit: 10 }),
          sorted.slice(2)
        )
        assert.deepStrictEqual(yield* store.claimDue({ config: configRef, now: 100, nextLook: 200, limit: 10 }), [])
        assert.strictEqual((yield* store.claimDue({ config: configRef, now: 200, nextLook: 300, limit: 10 })).length, 6)
      })
    )

    it.effect("concurrent claims get different due accounts, and together all", () =>
      Effect.gen(function* () {
        const { added } = yield* start
        const stores = yield* otherStores(4)
        const due = yield* Effect.forEach(Array.from({ length: 60 }), (_, index) => added({ renewAt: index }))
        const claimed: Array<string> = []
        for (let round = 0; claimed.length < due.length; round++) {
          assert.isBelow(round, 20)
          const found = yield* Effect.forEach(
            [...stores, ...stores],
            (store) => store.claimDue({ config: configRef, now: 100, nextLook: 200, limit: 5 }),
            { concurrency: "unbounded" }
          )
          for (const each of found) {
            assert.isAtMost(each.length, 5)
            claimed.push(...each.map(({ id }) => id))
          }
        }
        assert.deepStrictEqual(claimed.toSorted(), due.map(({ id }) => id).toSorted())
      })
    )

    it.effect("a renewal is abandoned when its intent is open and its lease ran out", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const abandoned = yield* added()
        yield* take(store, abandoned, { leaseMillis: -1 })
        yield* take(store, yield* added())
        const released = yield* added()
        yield* take(store, released)
        yield* store.release({ id: released.id, epoch: 6, keepIntent: true, renewAt: null, result: result(6) })
        yield* added()
        // It would not be renewed.
        yield* take(store, yield* added({ status: "INACTIVE", statusReason: "disabled" }), { leaseMillis: -1 })
        assert.deepStrictEqual(yield* store.findAbandoned({ now: Date.now(), limit: 10 }), {
          items: [{ id: abandoned.id, ...configRef }],
          unreadable: 0,
          next: undefined
        })
      })
    )

    it.effect(
      "all abandoned accounts are found page by page, oldest intent first, also where many are of one moment",
      () =>
        Effect.gen(function* () {
          const { addedMany, dateIntents, store } = yield* start
          const accounts = yield* addedMany(7)
          yield* Effect.forEach(accounts, (each) => take(store, each, { leaseMillis: -1 }))
          yield* dateIntents(1)
          const oldest = accounts.at(-1)?.id
          yield* dateIntents(0, oldest)
          const pages: Array<ReadonlyArray<string>> = []
          let after: AbandonedPlace | undefined
          do {
            const { items, next } = yield* store.findAbandoned({ now: Date.now(), limit: 3, after })
            pages.push(items.map(({ id }) => id))
            after = next
          } while (after !== undefined)
          assert.strictEqual(pages[0]?.[0], oldest)
          assert.deepStrictEqual(
            pages.map(({ length }) => length),
            [3, 3, 1]
          )
          assert.sameMembers(
            pages.flat(),
            accounts.map(({ id }) => id)
          )
        })
    )

    it.effect("a claim shows whether a holder is renewing the account", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const [one, two] = [yield* added({ renewAt: 1 }), yield* added({ renewAt: 2 })]
        yield* take(store, two)
        const claimed = yield* store.claimDue({ config: one, now: 10, nextLook: 20, limit: 10 })
        assert.deepStrictEqual(
          claimed.map(({ id, isUnderWay }) => [id, isUnderWay]),
          [
            [one.id, false],
            [two.id, true]
          ]
        )
      })
    )

    it.effect("accounts are counted by status, and the due ones", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        yield* added({ renewAt: 100 })
        yield* added({ renewAt: 101 })
        yield* added({ status: "EXPIRED", renewAt: null })
        assert.deepStrictEqual(yield* store.counts(100), { byStatus: { ACTIVE: 2, EXPIRED: 1 }, due: 1 })
      })
    )

    it.effect("due accounts of a project are counted by the time when they are due, overdue ones first", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        yield* store.putAuthConfig({ id: configId, projectId: "another", sealed: sealed("another"), updatedAt: 1 })
        for (const renewAt of [1, 100, 109, 110, 130, 139, 140, null]) yield* added({ renewAt })
        yield* added({ projectId: "another", renewAt: 100 })
        const query = { projectId: "project", from: 100, step: 10, steps: 4 }
        assert.deepStrictEqual(yield* store.dueCurve(query), [3, 1, 0, 2])
        assert.deepStrictEqual(yield* store.dueCurve({ ...query, projectId: "nobody's" }), [0, 0, 0, 0])
      })
    )

    it.effect("failing accounts are listed: without a credential that works, or after an attempt that failed", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        yield* added()
        yield* added({ status: "INACTIVE", statusReason: "disabled" })
        const failing = yield* Effect.forEach(
          [
            { status: "EXPIRED", statusReason: "grant_dead" },
            { statusReason: "grant_dead" },
            { status: "FAILED" }
          ] as const,
          added
        )
        const tried = yield* added()
        yield* take(store, tried)
        const { epoch, id } = { id: tried.id, epoch: tried.epoch + 1 }
        yield* store.release({ id, epoch, keepIntent: false, renewAt: 900, result: result(epoch) })
        const found = yield* store.list({ projectId: "project", isFailing: true, now: 50, limit: 10 })
        assert.sameMembers(
          found.items.map(({ id }) => id),
          [...failing.map(({ id }) => id), id]
        )
      })
    )

    // --- consent, outbox, keys --------------------------------------------------------------------------------------------------

    it.effect("a consent attempt is taken once, whoever asks at the same time, and is remembered until its end", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const stores = yield* otherStores(4)
        const one = yield* added()
        const attempt = attemptFor(one.id, { redirectUrl: "https://app.test/?a=b" })
        yield* store.write({ from: one, to: one, announce: [], attempt })
        const takers = stores.flatMap((store) => [store, store, store])
        const taken = (index: number) => ({ ...attempt, sealed: sealed(`taken ${index}`), takenAt: 10, expiresAt: 20 })
        const won = yield* Effect.forEach(
          takers,
          (store, index) => store.writeAttempt({ from: attempt, to: taken(index) }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(won.filter((each) => each).length, 1)
        const winner = taken(won.indexOf(true))
        assert.deepStrictEqual(yield* store.findAttempt(attempt.stateHash), Option.some(winner))
        assert.isTrue(yield* store.writeAttempt({ from: winner, to: { ...winner, sealed: sealed("end") } }))

        const addAttempt = Effect.fnUntraced(function* (expiresAt: number) {
          const each = attemptFor(one.id, { expiresAt })
          const from = yield* reread(one.id)
          yield* store.write({ from, to: { ...from, updatedAt: from.updatedAt + 1 }, announce: [], attempt: each })
          return each
        })
        const [old, young] = [yield* addAttempt(20), yield* addAttempt(21)]
        assert.strictEqual(yield* store.sweep({ now: 20, keysBefore: 0, limit: 10 }), 2)
        for (const gone of [attempt, old])
          assert.deepStrictEqual(yield* store.findAttempt(gone.stateHash), Option.none())
        assert.deepStrictEqual(yield* store.findAttempt(young.stateHash), Option.some(young))
        assert.isFalse(yield* store.writeAttempt({ from: old, to: { ...old, takenAt: 1 } }))
      })
    )

    it.effect("of an account's open links the newest few are kept, and all that were used", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const attempts: Array<ConsentAttempt> = []
        for (let createdAt = 1; createdAt <= 8; createdAt++) {
          const attempt = attemptFor(one.id, { createdAt })
          const from = yield* reread(one.id)
          yield* store.write({ from, to: { ...from, updatedAt: createdAt }, announce: [], attempt })
          const taken = { ...attempt, takenAt: createdAt, sealed: sealed("end") }
          if (createdAt <= 2) yield* store.writeAttempt({ from: attempt, to: taken })
          attempts.push(attempt)
        }
        const found = yield* Effect.forEach(attempts, ({ stateHash }) => store.findAttempt(stateHash))
        assert.deepStrictEqual(
          found.flatMap(Option.toArray).map(({ createdAt }) => createdAt),
          [1, 2, 4, 5, 6, 7, 8]
        )
      })
    )

    it.effect("the outbox is read from where one stopped, and trimmed up to there", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const one = yield* added()
        const announce = ["renewed", "recovered", "expired", "consent_started"] as const
        yield* store.write({ from: one, to: one, announce })
        const all = (yield* store.readOutbox(0, 10)).items
        assert.deepStrictEqual(
          all.map(({ type }) => type),
          [...announce]
        )
        const second = all[1]?.sequence ?? 0
        assert.deepStrictEqual((yield* store.readOutbox(second, 1)).items, all.slice(2, 3))
        yield* store.trimOutbox(second)
        assert.deepStrictEqual((yield* store.readOutbox(0, 10)).items, all.slice(2))
      })
    )

    it.effect("events that nobody trimmed are swept once they are too old, oldest first, as many as asked for", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const one = yield* added()
        const two = { ...one, revision: one.revision + 1 }
        yield* store.write({ from: one, to: { ...one, updatedAt: 10 }, announce: ["renewed", "recovered", "expired"] })
        yield* store.write({ from: two, to: { ...two, updatedAt: 20 }, announce: ["consent_started"] })
        const all = (yield* store.readOutbox(0, 10)).items
        const sweep = (limit: number) => store.sweepOutbox({ before: 20, limit })
        assert.strictEqual(yield* sweep(2), 2)
        assert.deepStrictEqual((yield* store.readOutbox(0, 10)).items, all.slice(2))
        assert.strictEqual(yield* sweep(2), 1)
        assert.deepStrictEqual((yield* store.readOutbox(0, 10)).items, all.slice(3))
        assert.strictEqual(yield* sweep(2), 0)
      })
    )

    it.effect("a reader of the outbox who comes back can tell that events were swept before it had read them", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const one = yield* added()
        yield* store.write({ from: one, to: { ...one, updatedAt: 10 }, announce: ["renewed", "recovered", "expired"] })
        const [first = 0, second = 0, third = 0] = (yield* store.readOutbox(0, 10)).items.map(
          ({ sequence }) => sequence
        )
        const missed = (after: number) => Effect.map(store.forgottenThrough, (through) => through > after)
        assert.isFalse(yield* missed(first - 1))
        yield* store.sweepOutbox({ before: 20, limit: 2 })
        assert.deepStrictEqual(
          [yield* missed(first - 1), yield* missed(first), yield* missed(second)],
          [true, true, false]
        )
        yield* store.trimOutbox(Number.MAX_SAFE_INTEGER)
        assert.strictEqual(yield* store.forgottenThrough, third)
        assert.isTrue(yield* missed(second))
        yield* store.trimOutbox(first)
        assert.strictEqual(yield* store.forgottenThrough, third, "what is forgotten stays so")
      })
    )

    it.effect("an idempotency key is reserved once and remembers its answer until it is too old", () =>
      Effect.gen(function* () {
        const { store } = yield* start
        const stores = yield* otherStores(3)
        const { id } = account()
        const request = { keyHash: randomUUID(), accountId: id, requestHash: "request", now: 1_000, expireBefore: 0 }
        const reserved = yield* Effect.forEach([...stores, ...stores], (store) => store.reserveKey(request), {
          concurrency: "unbounded"
        })
        const record = { accountId: id, requestHash: "request", answer: null }
        assert.strictEqual(reserved.filter(Option.isNone).length, 1)
        const records = reserved.flatMap(Option.toArray)
        assert.deepStrictEqual(
          records,
          Array.from({ length: 5 }, () => record)
        )

        yield* store.settleKey(request.keyHash, "answer")
        yield* store.settleKey(request.keyHash, null)
        const known = yield* store.reserveKey({ ...request, requestHash: "another" })
        assert.deepStrictEqual(known, Option.some({ ...record, answer: "answer" }))
        assert.isTrue(Option.isNone(yield* store.reserveKey({ ...request, now: 5_000, expireBefore: 1_001 })))
      })
    )

    it.effect("an idempotency key whose request came to nothing is free again", () =>
      Effect.gen(function* () {
        const { store } = yield* start
        const request = {
          keyHash: randomUUID(),
          accountId: account().id,
          requestHash: "request",
          now: 1,
          expireBefore: 0
        }
        yield* store.reserveKey(request)
        yield* store.settleKey(request.keyHash, null)
        assert.isTrue(Option.isNone(yield* store.reserveKey(request)))
      })
    )

    it.effect("a key given up while others want it goes to one of them at a time", () =>
      Effect.gen(function* () {
        yield* start
        const stores = yield* otherStores(4)
        const request = {
          keyHash: randomUUID(),
          accountId: account().id,
          requestHash: "request",
          now: 1,
          expireBefore: 0
        }
        let holders = 0
        const reserveAndGiveUp = Effect.fnUntraced(function* (store: AccountStore["Service"]) {
          for (let round = 0; round < 10; round++) {
            if (Option.isSome(yield* store.reserveKey(request))) continue
            assert.strictEqual(++holders, 1)
            yield* Effect.yieldNow
            holders--
            yield* store.settleKey(request.keyHash, null)
          }
        })
        yield* Effect.forEach([...stores, ...stores], reserveAndGiveUp, { concurrency: "unbounded", discard: true })
      })
    )

    // --- sealing again ----------------------------------------------------------------------------------------------------------

    it.effect("sealed values are listed in pages, by the bytes of the id", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        const named = ["ca_Zebra_000000", "ca_apple_000000", "ca_Apple-000000", "ca_zebra_000000", "ca_Apple_000000"]
        yield* Effect.forEach(named, (id) => added({ id: ConnectedAccountId.make(id) }))
        const seen: Array<string> = []
        let after: IdPlace | undefined
        do {
          const { items, next } = yield* store.listSealed({ after, limit: 2 })
          assert.isAtMost(items.length, 2)
          seen.push(...items.map(({ id }) => id))
          after = next
          assert.deepStrictEqual(items[0], {
            id: ConnectedAccountId.make(seen.at(-items.length) ?? ""),
            projectId: "project",
            generation: 3,
            revision: 7,
            credential: sealed("now"),
            previousCredential: sealed("before")
          })
        } while (after !== undefined)
        assert.deepStrictEqual(seen, named.toSorted())
      })
    )

    it.effect(
      "after a restore every credential counts as sent once more, at an unknown time, and its lease holds",
      () =>
        Effect.gen(function* () {
          const { added, reread, store } = yield* start
          const idle = yield* added()
          const leased = yield* added()
          yield* take(store, leased)
          const bare = yield* added({ credential: null, generation: 0 })
          assert.strictEqual(yield* store.doubtAll, 2)
          const [first, second] = [yield* reread(idle.id), yield* reread(leased.id)]
          assert.deepStrictEqual(
            [first, second].map(({ intent, revision }) => [intent?.generation, intent?.attempts, revision]),
            [
              [3, 1, 8],
              [3, 2, 8]
            ]
          )
          for (const { intent } of [first, second]) around(intent?.since, 0)
          assert.strictEqual(second.lease?.owner, "owner")
          assert.deepStrictEqual(yield* reread(bare.id), bare)
          assert.isTrue(Option.isNone(yield* take(store, idle)), "a caller who has not read it again")
        })
    )

    it.effect("sealing again keeps the generation, and loses to a newer write", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        const one = yield* added()
        const again = { id: one.id, revision: 7, credential: sealed("new key"), previousCredential: null }
        assert.isTrue(yield* store.reseal(again))
        assert.isFalse(yield* store.reseal(again))
        assert.deepStrictEqual(yield* reread(one.id), { ...one, ...again, revision: 8 })
      })
    )

    it.effect("an auth config is sealed again in place, and not over one registered meanwhile", () =>
      Effect.gen(function* () {
        const { store } = yield* start
        const again = { projectId: "project", id: configId, from: sealed("config"), to: sealed("new key") }
        assert.isTrue(yield* store.writeAuthConfig(again))
        assert.isFalse(yield* store.writeAuthConfig(again))
        const kept = { id: configId, projectId: "project", sealed: sealed("new key"), createdAt: 1, disabledAt: null }
        assert.deepStrictEqual(yield* store.findAuthConfig(configRef), Option.some({ ...kept, updatedAt: 1 }))
        const changed = { ...again, from: sealed("new key"), to: sealed("changed"), updatedAt: 7 }
        assert.isTrue(yield* store.writeAuthConfig(changed))
        assert.deepStrictEqual(
          yield* store.findAuthConfig(configRef),
          Option.some({ ...kept, sealed: changed.to, updatedAt: 7 })
        )
      })
    )

    // --- failures ---------------------------------------------------------------------------------------------------------------

    it.effect("failing accounts of one auth config are due at once when it is resumed, and no other", () =>
      Effect.gen(function* () {
        const { added, reread, store } = yield* start
        yield* store.putAuthConfig({ id: "other", projectId: "project", sealed: sealed("config"), updatedAt: 1 })
        const released = Effect.fnUntraced(function* (overrides: Partial<Account>) {
          const one = yield* added(overrides)
          yield* take(store, one)
          yield* store.release({
            id: one.id,
            epoch: one.epoch + 1,
            keepIntent: false,
            keepLease: false,
            renewAt: 900,
            result: result(one.epoch + 1)
          })
          return one.id
        })
        const failing = yield* released({ renewAt: 1 })
        const elsewhere = yield* released({ authConfigId: "other", renewAt: 1 })
        const dead = yield* added({ status: "EXPIRED", statusReason: "credential_rejected", renewAt: 900 })
        const expiring = yield* added({ statusReason: "credential_rejected", renewAt: 900 })
        const ended = yield* added({ status: "EXPIRED", statusReason: "grant_dead", renewAt: null })
        const well = yield* added({ renewAt: 900 })
        yield* store.resume({ config: { projectId: "project", authConfigId: configId }, now: 50 })
        const times = yield* Effect.forEach([failing, elsewhere, dead.id, expiring.id, ended.id, well.id], (id) =>
          Effect.map(reread(id), ({ renewAt }) => renewAt)
        )
        assert.deepStrictEqual(times, [50, 900, 50, 50, null, 900])
        assert.isNull((yield* reread(failing)).lastAttempt)
        assert.isNotNull((yield* reread(elsewhere)).lastAttempt)
      })
    )

    it.effect("auth configs with due accounts are found, and each has accounts of its own handed out", () =>
      Effect.gen(function* () {
        const { added, store } = yield* start
        for (const id of ["other", "idle"])
          yield* store.putAuthConfig({ id, projectId: "project", sealed: sealed("config"), updatedAt: 1 })
        yield* Effect.forEach([1, 2, 3], (renewAt) => added({ renewAt }))
        const other = yield* added({ authConfigId: "other", renewAt: 9 })
        yield* added({ authConfigId: "idle", renewAt: 11 })
        assert.sameDeepMembers(
          [...(yield* store.dueConfigs(10))],
          [
            { ...configRef, dueAt: 1 },
            { ...configRef, authConfigId: "other", dueAt: 9 }
          ]
        )
        const due = yield* store.claimDue({ config: other, now: 10, nextLook: 20, limit: 2 })
        assert.deepStrictEqual(due, [
          {
            id: other.id,
            projectId: "project",
            authConfigId: "other",
            generation: other.generation,
            dueAt: 9,
            isUnderWay: false
          }
        ])
        assert.deepStrictEqual(yield* store.dueConfigs(10), [{ ...configRef, dueAt: 1 }])
      })
    )

    it.effect(
      "callers who reserve keys at the same time do not wait for old ones to be swept, nor for each other",
      () =>
        Effect.gen(function* () {
          const { store } = yield* start
          const stores = yield* otherStores(4)
          const keys = Array.from({ length: 200 }, () => randomUUID())
          const reserve = (from: AccountStore["Service"], keyHash: string, now: number) =>
            from.reserveKey({ keyHash, accountId: account().id, requestHash: "r", now, expireBefore: now - 10 })
          yield* Effect.forEach(keys, (key) => reserve(store, key, 1))
          const sweeps = stores.map((each) => Effect.forever(each.sweep({ now: 0, keysBefore: 90, limit: 7 })))
          const sweeping = yield* Effect.forkChild(Effect.all(sweeps, { concurrency: "unbounded" }))
          const reserved = yield* Effect.forEach(
            keys.toReversed(),
            (key, index) => reserve(stores[index % stores.length] ?? store, key, 100),
            { concurrency: 50 }
          )
          assert.isTrue(reserved.every(Option.isNone), "a key past its day is free, swept or not")
          while ((yield* store.sweep({ now: 0, keysBefore: 90, limit: 7 })) > 0) yield* Effect.yieldNow
          yield* Fiber.interrupt(sweeping)
          assert.isTrue((yield* Effect.forEach(keys, (key) => reserve(store, key, 101))).every(Option.isSome))
        })
    )
  })
}
