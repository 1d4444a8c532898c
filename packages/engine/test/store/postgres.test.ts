import { assert } from "@effect/vitest"
import { type Account, AccountStore, Sealed, SqlAccountStore, type StoreError } from "@rekindle/engine"
import { Clock, Context, Deferred, Effect, Exit, Fiber, Layer, Option } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { clientOf } from "../support/Place.ts"
import { Postgres } from "../support/Postgres.ts"
import { migrateInProcesses } from "./migrateInProcesses.ts"
import { Database, start, suite } from "./sqlContract.ts"
import { sealed } from "./storeContract.ts"

const database = Layer.effect(
  Database,
  Effect.map(
    Effect.flatMap(Postgres, ({ database }) => database),
    (place) => ({
      connect: Layer.build(Layer.fresh(Layer.provideMerge(SqlAccountStore.layer, clientOf(place))))
    })
  )
)

/** Runs with a clock that is that many milliseconds ahead of all others. */
const ahead =
  (millis: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Clock.clockWith((clock) => {
      const skewed: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + millis,
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis)
      })
      return Effect.provideService(effect, Clock.Clock, skewed)
    })

const hour = 3_600_000

suite("the account store on Postgres", Layer.provideMerge(database, Postgres.layer), (it) => {
  it.effect("is migrated once by processes that start together", () =>
    Effect.gen(function* () {
      const place = yield* Effect.flatMap(Postgres, ({ database }) => database)
      assert.deepStrictEqual(yield* migrateInProcesses(3, place), [0, 0, 0])
      const found = yield* AccountStore.use((store) => store.counts(0)).pipe(
        Effect.provide(Layer.provide(SqlAccountStore.layer, clientOf(place)))
      )
      assert.deepStrictEqual(found, { byStatus: {}, due: 0 })
    })
  )

  it.effect("a machine whose clock is ahead cannot take a live lease, nor one behind keep a lapsed one", () =>
    Effect.gen(function* () {
      const { added, store } = yield* start
      const take = (account: Account, leaseMillis: number) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => store.begin({ account, owner: "owner", leaseMillis, now }))
      const held = Option.getOrThrow(yield* take(yield* added(), 60_000))
      assert.isTrue(Option.isNone(yield* ahead(hour)(take(held, 60_000))))
      const lapsed = Option.getOrThrow(yield* ahead(hour)(take(yield* added(), 0)))
      assert.isTrue(Option.isSome(yield* ahead(-hour)(take(lapsed, 60_000))))
    })
  )

  it.effect("every reader is told of a lease and an intent in terms of its own clock", () =>
    Effect.gen(function* () {
      const { added, store } = yield* start
      const account = yield* added()
      yield* store.begin({ account, owner: "owner", leaseMillis: 60_000, now: Date.now() })
      for (const skew of [-hour, 0, hour]) {
        const { intent, lease } = Option.getOrThrow(yield* ahead(skew)(store.find(account.id)))
        assert.approximately((lease?.until ?? 0) - skew, Date.now() + 60_000, 20_000)
        assert.approximately((intent?.since ?? 0) - skew, Date.now(), 20_000)
      }
      assert.deepStrictEqual(
        (yield* ahead(-hour)(store.findAbandoned({ now: Date.now() + hour, limit: 10 }))).items,
        []
      )
    })
  )

  it.effect("no announcement appears behind one that was read", () =>
    Effect.gen(function* () {
      const { added, sql, store } = yield* start
      const slow = yield* added()
      const quick = yield* added()
      const inserted = yield* Deferred.make<void>()
      const commit = yield* Deferred.make<void>()
      // A writer that has its sequence, and has not committed yet.
      const writer = yield* sql`INSERT INTO rekindle_outbox (project_id, account_id, type, status, generation, at)
        VALUES ('project', ${slow.id}, 'renewed', 'ACTIVE', 1, 1)`.pipe(
        Effect.andThen(Deferred.succeed(inserted, undefined)),
        Effect.andThen(Deferred.await(commit)),
        sql.withTransaction,
        Effect.forkChild
      )
      yield* Deferred.await(inserted)
      yield* store.write({ from: quick, to: quick, announce: ["renewed"] })
      // It waits for two seconds at a time. A busy machine may need more.
      const reader = yield* Effect.forkChild(Effect.retry(store.readOutbox(0, 10), { times: 10 }))
      const { connect } = yield* Database
      const another = Context.get(yield* connect, SqlClient.SqlClient)
      const waiting = another`SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'rekindle_outbox'::regclass`
      while ((yield* waiting).length === 0) yield* Effect.yieldNow
      yield* Deferred.succeed(commit, undefined)
      yield* Fiber.join(writer)
      const { items: events } = yield* Fiber.join(reader)
      assert.deepStrictEqual(
        events.map(({ accountId }) => accountId),
        [slow.id, quick.id]
      )
    })
  )

  it.effect("a lease is written in place: it changes no index of the accounts", () =>
    Effect.gen(function* () {
      const { addedMany, sql, store } = yield* start
      const accounts = yield* addedMany(20)
      const counts = Effect.map(
        sql<{ all: bigint; hot: bigint }>`SELECT n_tup_upd AS "all", n_tup_hot_upd AS hot
          FROM pg_stat_user_tables WHERE relname = 'rekindle_accounts'`,
        ([row]) => ({ all: Number(row?.all), hot: Number(row?.hot) })
      )
      // Postgres publishes its statistics with a delay.
      const settled = Effect.repeat(Effect.delay(counts, "1500 millis"), {
        until: (() => {
          let last = -1
          return ({ all }) => {
            const same = all === last
            last = all
            return same
          }
        })()
      })
      const before = yield* settled
      for (const account of accounts)
        yield* store.begin({ account, owner: "owner", leaseMillis: 60_000, now: Date.now() })
      const after = yield* Effect.repeat(Effect.delay(counts, "100 millis"), {
        until: ({ all }) => all >= before.all + accounts.length
      })
      // The page of an account may be full. Then the new row goes to another page.
      assert.isAtLeast(after.hot - before.hot, accounts.length / 2)
    })
  )

  it.effect("counts of several auth configs that are asked for at the same time share a statement", () =>
    Effect.gen(function* () {
      const { added, store } = yield* start
      const configs = Array.from({ length: 8 }, (_, index) => `config-${index}`)
      for (const [index, authConfigId] of configs.entries()) {
        yield* store.putAuthConfig({ id: authConfigId, projectId: "project", sealed: sealed("config"), updatedAt: 1 })
        for (let times = 0; times < index; times++) yield* added({ authConfigId })
      }
      yield* added({ authConfigId: "config-7", status: "INACTIVE" })
      let statements = 0
      const counts = yield* Effect.provideService(
        Effect.forEach(
          configs,
          (authConfigId) =>
            store.count({ projectId: "project", authConfigIds: [authConfigId], statuses: ["ACTIVE"], now: 0 }),
          { concurrency: "unbounded" }
        ),
        Statement.CurrentTransformer,
        (statement) => {
          statements++
          return Effect.succeed(statement)
        }
      )
      assert.deepStrictEqual(counts, [0, 1, 2, 3, 4, 5, 6, 7])
      assert.isAtMost(statements, 2)
      // Counts of something else, or of another project, do not mix with them.
      assert.deepStrictEqual(
        yield* Effect.all(
          [
            store.count({ projectId: "project", authConfigIds: ["config-7"], now: 0 }),
            store.count({ projectId: "project", authConfigIds: ["config-7"], statuses: ["INACTIVE"], now: 0 }),
            store.count({ projectId: "another", authConfigIds: ["config-7"], now: 0 }),
            store.count({ projectId: "project", authConfigIds: ["config-1", "config-2"], now: 0 }),
            store.count({ projectId: "project", authConfigIds: ["config-2"], now: 0 })
          ],
          { concurrency: "unbounded" }
        ),
        [8, 1, 0, 3, 2]
      )
    })
  )

  it.effect("callers who wait at the same time share their statements", () =>
    Effect.gen(function* () {
      const { addedMany, store } = yield* start
      const ones = yield* addedMany(50)
      const statementsOf = Effect.fnUntraced(function* (call: (one: Account) => Effect.Effect<unknown, StoreError>) {
        let statements = 0
        yield* Effect.provideService(
          Effect.forEach(ones, call, { concurrency: "unbounded" }),
          Statement.CurrentTransformer,
          (statement) => {
            statements++
            return Effect.succeed(statement)
          }
        )
        return statements
      })
      // The first request is sent alone. Meanwhile all others are gathered.
      assert.strictEqual(yield* statementsOf(({ id }) => store.find(id)), 2)
      assert.strictEqual(yield* statementsOf(({ projectId, publicId }) => store.findIn(projectId, publicId)), 2)
      const begin = (account: Account) => store.begin({ account, owner: "owner", leaseMillis: 60_000, now: Date.now() })
      assert.strictEqual(yield* statementsOf(begin), 2)
      const write = (from: Account) => store.write({ from, to: { ...from, generation: 4 }, announce: ["renewed"] })
      assert.strictEqual(yield* statementsOf(write), 2)
      assert.lengthOf((yield* store.readOutbox(0, 100)).items, 50)
    })
  )

  it.effect("a value that cannot be written fails for its caller, and for nobody who writes at the same time", () =>
    Effect.gen(function* () {
      const { addedMany, reread, store } = yield* start
      const ones = yield* addedMany(20)
      const exits = yield* Effect.forEach(
        ones,
        (from, index) =>
          // Postgres allows no NUL in text.
          Effect.exit(
            store.write({ from, to: { ...from, grantId: index === 7 ? "a\0b" : "ab" }, announce: ["renewed"] })
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        exits.map(Exit.isSuccess),
        ones.map((_, index) => index !== 7)
      )
      assert.strictEqual(exits[7]?.pipe(Exit.findErrorOption, Option.getOrUndefined)?._tag, "StoreError")
      for (const [index, { id }] of ones.entries()) {
        assert.strictEqual((yield* reread(id)).grantId, index === 7 ? "grant" : "ab")
      }
      assert.lengthOf((yield* store.readOutbox(0, 100)).items, 19)
    })
  )

  it.effect("a row that somebody else has locked keeps its own caller waiting, and nobody else", () =>
    Effect.gen(function* () {
      const { addedMany, reread, store } = yield* start
      const another = Context.get(yield* Effect.flatMap(Database, ({ connect }) => connect), SqlClient.SqlClient)
      const ones = yield* addedMany(20)
      const locked = ones[7]
      const written: Array<string> = []
      const writing = yield* Effect.gen(function* () {
        yield* another`SELECT id FROM rekindle_accounts WHERE id = ${locked?.id ?? ""} FOR UPDATE`
        const fiber = yield* Effect.forkChild(
          Effect.forEach(
            ones,
            (from) =>
              Effect.tap(store.write({ from, to: { ...from, obtainedAt: 5 }, announce: [] }), () =>
                Effect.sync(() => written.push(from.id))
              ),
            { concurrency: "unbounded" }
          )
        )
        while (written.length < ones.length - 1) yield* Effect.sleep(5)
        assert.notInclude(written, locked?.id)
        return fiber
      }).pipe(another.withTransaction)
      assert.deepStrictEqual(
        (yield* Fiber.join(writing)).map(Option.isSome),
        ones.map(() => true)
      )
      for (const { id } of ones) assert.strictEqual((yield* reread(id)).obtainedAt, 5)
    })
  )

  it.effect("callers with keys meet no deadlock while 50,000 old keys are swept", () =>
    Effect.gen(function* () {
      const { added, sql, store } = yield* start
      const one = yield* added()
      yield* sql`INSERT INTO rekindle_idempotency_keys (key_hash, account_id, request_hash, created_at)
        SELECT 'key-' || i, ${one.id}, 'r', 1 FROM generate_series(1, 50000) i`
      const another = Context.get(yield* Effect.flatMap(Database, ({ connect }) => connect), AccountStore)
      const sweeping = (from: AccountStore["Service"]): Effect.Effect<void, StoreError> =>
        Effect.flatMap(from.sweep({ now: 0, keysBefore: 100, limit: 500 }), (swept) =>
          swept === 0 ? Effect.void : sweeping(from)
        )
      const sweeps = yield* Effect.forkChild(Effect.all([sweeping(store), sweeping(another)], { concurrency: 2 }))
      const reserved = yield* Effect.forEach(
        Array.from({ length: 1_000 }, (_, index) => index),
        (index) =>
          Effect.tap(
            // Every other caller reserves a key that is about to be swept.
            store.reserveKey({
              keyHash: index % 2 === 0 ? `key-${50_000 - 47 * index}` : `new-${index}`,
              accountId: one.id,
              requestHash: "r",
              now: 200,
              expireBefore: 100
            }),
            () => store.settleKey(`new-${index}`, "answer")
          ),
        { concurrency: 50 }
      )
      yield* Fiber.join(sweeps)
      assert.isTrue(reserved.every(Option.isNone))
      assert.deepStrictEqual(yield* sql`SELECT COUNT(*)::int AS count FROM rekindle_idempotency_keys`, [
        { count: 1_000 }
      ])
      assert.deepStrictEqual(
        yield* sql`SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()`,
        [{ deadlocks: 0 }]
      )
    })
  )

  it.effect("a connection lost in the middle of an operation is a StoreError, and the next one works", () =>
    Effect.gen(function* () {
      const { added, reread, store } = yield* start
      const another = Context.get(yield* Effect.flatMap(Database, ({ connect }) => connect), SqlClient.SqlClient)
      const one = yield* added()
      const attempt = {
        stateHash: "state",
        accountId: one.id,
        sealed: Sealed.make("v1.key.memo"),
        redirectUrl: null,
        createdAt: 1,
        takenAt: null,
        expiresAt: 2
      }
      const change = { from: one, to: { ...one, generation: one.generation + 1 } }
      const operations: ReadonlyArray<readonly [name: string, Effect.Effect<unknown, StoreError>]> = [
        ["find", store.find(one.id)],
        ["begin", store.begin({ account: one, owner: "owner", leaseMillis: 1, now: 1 })],
        ["write", store.write({ ...change, announce: ["renewed"] })],
        ["write with an attempt", store.write({ ...change, announce: ["consent_started"], attempt })],
        ["claimDue", store.claimDue({ config: one, now: Date.now(), nextLook: 2, limit: 3 })],
        ["readOutbox", store.readOutbox(0, 1)],
        [
          "reserveKey",
          store.reserveKey({ keyHash: "key", accountId: one.id, requestHash: "r", now: 1, expireBefore: 0 })
        ]
      ]
      for (const [name, operation] of operations) {
        const exit = yield* Effect.gen(function* () {
          yield* another`LOCK TABLE rekindle_accounts, rekindle_outbox, rekindle_idempotency_keys IN ACCESS EXCLUSIVE MODE`
          const fiber = yield* Effect.forkChild(Effect.exit(operation))
          const terminate = another`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'`
          while ((yield* terminate).length === 0) yield* Effect.sleep(5)
          return yield* Fiber.join(fiber)
        }).pipe(another.withTransaction)
        assert.strictEqual(Option.getOrUndefined(Exit.findErrorOption(exit))?._tag, "StoreError", name)
        assert.deepStrictEqual(yield* reread(one.id), one, name)
      }
    })
  )

  it.effect("while the database is gone every operation is a StoreError, and afterwards it works again", () =>
    Effect.gen(function* () {
      const server = yield* Postgres
      const { added, reread, store } = yield* start
      const one = yield* added()
      yield* server.stop
      const operations: ReadonlyArray<Effect.Effect<unknown, StoreError>> = [
        store.find(one.id),
        store.insert(one),
        store.begin({ account: one, owner: "owner", leaseMillis: 1, now: 1 }),
        store.write({ from: one, to: one, announce: ["renewed"] }),
        store.write({ from: one, to: one, announce: [] }),
        store.claimDue({ config: one, now: 1, nextLook: 2, limit: 3 }),
        store.readOutbox(0, 1),
        store.counts(0),
        store.reserveKey({ keyHash: "key", accountId: one.id, requestHash: "r", now: 1, expireBefore: 0 })
      ]
      const exits = yield* Effect.forEach(operations, (operation) => Effect.exit(operation))
      yield* server.start
      for (const exit of exits) {
        assert.strictEqual(Option.getOrUndefined(Exit.findErrorOption(exit))?._tag, "StoreError")
      }
      assert.deepStrictEqual(yield* reread(one.id), one)
    })
  )
})
