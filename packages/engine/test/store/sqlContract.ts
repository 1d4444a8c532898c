/**
 * The contract of the account stores on SQL: that of every store, and what holds of rows, transactions and migrations.
 *
 * @module
 */
import { assert, type Vitest } from "@effect/vitest"
import { ConnectedAccountId } from "@rekindle/core"
import {
  type AbandonedPlace,
  type AccountPlace,
  AccountStore,
  type IdPlace,
  type OutboxEvent,
  type Page,
  type StoreError
} from "@rekindle/engine"
import { Array as Arr, Context, Effect, Exit, Layer, Option, type Scope } from "effect"
import { type Migrator, SqlClient, type SqlError } from "effect/sql"
import { migrate, migrateTo } from "#engine/store/migrations.ts"
import {
  attemptFor,
  configId,
  configRef,
  result,
  sealed,
  startOn,
  Stores,
  suite as storeSuite,
  take
} from "./storeContract.ts"

/** A database under test. */
export class Database extends Context.Service<
  Database,
  {
    /** A client with its own connections, as another process would have. */
    readonly connect: Effect.Effect<
      Context.Context<AccountStore | SqlClient.SqlClient>,
      Migrator.MigrationError | SqlError.SqlError | StoreError,
      Scope.Scope
    >
  }
>()("@rekindle/engine/test/Database") {}

const tables = [
  "rekindle_consent_attempts",
  "rekindle_outbox",
  "rekindle_idempotency_keys",
  "rekindle_accounts",
  "rekindle_auth_configs",
  "rekindle_vault_keys",
  "rekindle_removed_accounts"
]

const clear = (sql: SqlClient.SqlClient) =>
  Effect.forEach(tables, (table) => sql`DELETE FROM ${sql(table)}`, { discard: true })

/** A client on an empty database that has one auth config. */
export const start = Effect.gen(function* () {
  const client = yield* Effect.flatMap(Database, ({ connect }) => connect)
  const sql = Context.get(client, SqlClient.SqlClient)
  yield* clear(sql)
  return { sql, ...(yield* startOn(Context.get(client, AccountStore))) }
})

/** The stores of a database, with a client of this layer's own for what no store does. */
const stores = Layer.effect(
  Stores,
  Effect.gen(function* () {
    const { connect } = yield* Database
    const sql = Context.get(yield* connect, SqlClient.SqlClient)
    return {
      connect: Effect.map(connect, (client) => Context.get(client, AccountStore)),
      clear: clear(sql),
      dateIntents: (since, id) =>
        Effect.asVoid(sql`UPDATE rekindle_accounts SET intent_since = ${since}
          WHERE intent_since IS NOT NULL${id === undefined ? sql`` : sql` AND id = ${id}`}`)
    }
  })
)

/** Defines the suite, and `more` tests on the same database. */
export const suite = <R, E>(
  name: string,
  database: Layer.Layer<Database | R, E>,
  more: (it: Vitest.MethodsNonLive<Database | Stores | R>) => void = () => {}
) =>
  storeSuite(name, Layer.provideMerge(stores, database), (it) => {
    more(it)

    it.effect(
      "an auth config of a process of an earlier version, which does not say when, was added when it changed",
      () =>
        Effect.gen(function* () {
          const { sql, store } = yield* start
          const config = { id: configId, projectId: "project", sealed: sealed("changed"), updatedAt: 2 }
          yield* store.putAuthConfig(config)
          const kept = { ...config, createdAt: 1, disabledAt: null }
          yield* sql`UPDATE rekindle_auth_configs SET created_at = NULL`
          assert.deepStrictEqual(yield* store.findAuthConfig(configRef), Option.some({ ...kept, createdAt: 2 }))
          assert.deepStrictEqual(yield* store.putAuthConfig({ ...config, updatedAt: 3 }), {
            ...kept,
            createdAt: 3,
            updatedAt: 3
          })
        })
    )

    it.effect("no table has anything of a removed account but its id", () =>
      Effect.gen(function* () {
        const { added, sql, store } = yield* start
        const [one, other] = [yield* added(), yield* added()]
        for (const from of [one, other])
          yield* store.write({ from, to: from, announce: [], attempt: attemptFor(from.id) })
        for (const { id } of [one, other])
          yield* store.reserveKey({ keyHash: id, accountId: id, requestHash: "r", now: 1, expireBefore: 0 })
        yield* store.remove(one, 9)
        const left = yield* Effect.forEach(
          ["rekindle_accounts", "rekindle_consent_attempts", "rekindle_idempotency_keys"],
          (table) => sql`SELECT * FROM ${sql(table)}`
        )
        assert.deepStrictEqual(
          left.map((rows) => rows.length),
          [1, 1, 1]
        )
        assert.notInclude(
          JSON.stringify(left, (_, value) => (typeof value === "bigint" ? Number(value) : value)),
          one.id
        )
      })
    )

    it.effect("a database that a newer version has migrated is refused, and left as it is", () =>
      Effect.gen(function* () {
        const { sql } = yield* start
        yield* sql`INSERT INTO rekindle_migrations (migration_id, name) VALUES (9999, 'of_a_newer_version')`
        const error = yield* Effect.flip(Effect.provideService(migrate, SqlClient.SqlClient, sql))
        assert.strictEqual(error._tag, "MigrationError")
        assert.include(error.message, "9999")
        yield* sql`DELETE FROM rekindle_migrations WHERE migration_id = 9999`
      })
    )

    it.effect("accounts and configs of a database without projects are found after the migration", () =>
      Effect.gen(function* () {
        const { sql } = yield* start
        yield* Effect.forEach(
          [...tables, "rekindle_outbox_forgotten", "rekindle_migrations"],
          (table) => sql`DROP TABLE ${sql(table)}`
        )
        yield* sql.onDialectOrElse({
          pg: () => sql`DROP TABLE rekindle_open_intents`,
          orElse: () => sql`DROP VIEW rekindle_open_intents`
        })
        const withSql = Effect.provideService(SqlClient.SqlClient, sql)
        yield* withSql(migrateTo(3))
        yield* sql`INSERT INTO rekindle_auth_configs (id, project_id, sealed, updated_at) VALUES ('old_config', 'p/1', 'v1.k.s', 1)`
        yield* sql`INSERT INTO rekindle_accounts (id, project_id, auth_config_id, toolkit, user_id, scheme, status, generation,
          revision, grant_id, obtained_at, epoch, created_at, updated_at)
          VALUES ('ca_oldoldold', 'p/1', 'old_config', 't', 'u', 'OAUTH2', 'ACTIVE', 1, 1, 'g', 1, 0, 1, 1)`
        // Its process died while renewing the account.
        yield* sql`UPDATE rekindle_accounts SET intent_generation = 1, intent_since = 5, intent_attempts = 1,
          lease_owner = 'gone', lease_until = 6`
        // An account of a service that a wrong clock expired, and an account of a person whose grant is dead.
        for (const [id, scheme] of [
          ["ca_service_old", "GOOGLE_SERVICE_ACCOUNT"],
          ["ca_person_old", "OAUTH2"]
        ]) {
          yield* sql`INSERT INTO rekindle_accounts (id, project_id, auth_config_id, toolkit, user_id, scheme, status, status_reason,
            generation, revision, grant_id, credential, obtained_at, epoch, created_at, updated_at)
            VALUES (${id}, 'p/1', 'old_config', 't', 'u', ${scheme}, 'EXPIRED', 'grant_dead', 1, 1, 'g', 'v1.k.s', 1, 0, 1, 7)`
        }
        yield* withSql(migrate)
        const { connect } = yield* Database
        const store = Context.get(yield* connect, AccountStore)
        const found = Option.getOrThrow(yield* store.findIn("p/1", ConnectedAccountId.make("ca_oldoldold")))
        assert.deepInclude({ ...found }, { publicId: found.id, projectId: "p/1", authConfigId: "old_config" })
        assert.deepStrictEqual(
          (yield* store.findAbandoned({ now: Date.now(), limit: 10 })).items.map(({ id }) => id),
          [found.id]
        )
        const renewAt = (id: string) =>
          Effect.map(store.findIn("p/1", ConnectedAccountId.make(id)), (row) => Option.getOrThrow(row).renewAt)
        assert.strictEqual(yield* renewAt("ca_service_old"), 7)
        assert.isNull(yield* renewAt("ca_person_old"))
        const config = Option.getOrThrow(yield* store.findAuthConfig(found))
        assert.deepInclude(config, { id: "old_config", projectId: "p/1" })
        assert.lengthOf((yield* store.listAuthConfigs({ limit: 10 })).items, 1)
      })
    )

    it.effect(
      "a row that cannot be read fails for those who ask for it, and for nobody who asks at the same time",
      () =>
        Effect.gen(function* () {
          const { addedMany, sql, store } = yield* start
          const ones = yield* addedMany(10)
          const [first, bad] = ones
          yield* sql`UPDATE rekindle_accounts SET status = 'NEVER-HEARD-OF' WHERE id = ${bad?.id ?? ""}`
          for (const find of [store.find, (id: ConnectedAccountId) => store.findIn("project", id)]) {
            const exits = yield* Effect.forEach(
              [first, ...ones].flatMap((one) => (one === undefined ? [] : [one.id])),
              (id) => Effect.exit(find(id)),
              {
                concurrency: "unbounded"
              }
            )
            assert.deepStrictEqual(exits.map(Exit.isFailure), [false, ...ones.map((one) => one === bad)])
            const error = exits.flatMap((exit) => Option.toArray(Exit.findErrorOption(exit)))[0]
            assert.strictEqual(error?._tag, "StoreError")
          }
        })
    )

    it.effect("a request within a caller's transaction is rolled back with it", () =>
      Effect.gen(function* () {
        const { added, reread, sql, store } = yield* start
        const one = yield* added()
        const other = yield* added()
        const aborted = sql.withTransaction(
          Effect.gen(function* () {
            const leased = Option.getOrThrow(yield* take(store, one))
            assert.isTrue(
              Option.isSome(
                yield* store.write({ from: leased, to: { ...leased, generation: 4 }, announce: ["renewed"] })
              )
            )
            assert.strictEqual((yield* reread(one.id)).generation, 4)
            yield* store.release({ id: one.id, epoch: 6, keepIntent: false, renewAt: null, result: result(6) })
            return yield* Effect.fail("undo")
          })
        )
        // Others share statements meanwhile.
        const [exit, ...written] = yield* Effect.all(
          [
            Effect.exit(aborted),
            ...Array.from({ length: 10 }, () =>
              store.write({ from: other, to: { ...other, obtainedAt: 5 }, announce: [] })
            )
          ],
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(exit, Exit.fail("undo"))
        assert.strictEqual(Arr.getSomes(written).length, 1)
        assert.deepStrictEqual(yield* reread(one.id), one)
        assert.deepStrictEqual((yield* store.readOutbox(0, 10)).items, [])
      })
    )

    it.effect("a write whose announcement fails changes nothing", () =>
      Effect.gen(function* () {
        const { added, reread, sql, store } = yield* start
        const one = yield* added()
        // The second announcement about the account fails.
        yield* sql`CREATE UNIQUE INDEX one_each ON rekindle_outbox (account_id)`
        yield* store.write({ from: one, to: one, announce: ["consent_started"] })
        const two = yield* reread(one.id)
        const change = {
          from: two,
          to: { ...two, generation: 4, credential: sealed("lost") },
          announce: ["renewed"]
        } as const
        const error = yield* Effect.flip(store.write(change)).pipe(
          Effect.ensuring(Effect.orDie(sql`DROP INDEX one_each`))
        )
        assert.strictEqual(error._tag, "StoreError")
        assert.deepStrictEqual(yield* reread(one.id), two)
        assert.isTrue(Option.isSome(yield* store.write(change)))
      })
    )

    it.effect("a row that does not decode is left out where many are asked for, and stops none of them", () =>
      Effect.gen(function* () {
        const { added, sql, store } = yield* start
        const [sick, well] = [yield* added({ renewAt: 1 }), yield* added({ renewAt: 2 })]
        for (const each of [sick, well]) {
          yield* take(store, each, { leaseMillis: -1 })
          yield* store.write({ from: each, to: each, announce: ["renewed"] })
        }
        yield* sql`UPDATE rekindle_accounts SET id = 'legacy-account-1' WHERE id = ${sick.id}`
        yield* sql`UPDATE rekindle_outbox SET type = 'NEVER-HEARD-OF' WHERE account_id = ${sick.id}`
        const due = yield* store.claimDue({ config: configRef, now: 10, nextLook: 20, limit: 10 })
        const found = [
          due,
          (yield* store.findAbandoned({ now: Date.now(), limit: 10 })).items,
          (yield* store.listSealed({ limit: 10 })).items,
          (yield* store.list({ projectId: "project", now: 10, limit: 10 })).items,
          (yield* store.readOutbox(0, 10)).items.map(({ accountId }) => ({ id: accountId }))
        ]
        assert.deepStrictEqual(
          found.map((rows) => rows.map(({ id }) => id)),
          found.map(() => [well.id])
        )
      })
    )

    it.effect("a page on which no row decodes is not the last one, and says how many there were", () =>
      Effect.gen(function* () {
        const { added, sql, store } = yield* start
        // In every order the readable row is the last.
        const [one, two] = [yield* added({ createdAt: 3 }), yield* added({ createdAt: 2 })]
        const well = yield* added({ createdAt: 1, id: ConnectedAccountId.make("ca_zzzzzzzzzzzz") })
        for (const each of [one, two, well]) {
          yield* take(store, each, { leaseMillis: -1 })
          yield* store.write({ from: each, to: each, announce: ["renewed"] })
        }
        yield* sql`UPDATE rekindle_accounts SET intent_since = 1, status = 'NEVER HEARD OF' WHERE id <> ${well.id}`
        for (const [id, each] of [
          ["a", one],
          ["b", two]
        ] as const)
          yield* sql`UPDATE rekindle_accounts SET id = ${id} WHERE id = ${each.id}`
        yield* sql`UPDATE rekindle_outbox SET type = 'NEVER-HEARD-OF' WHERE account_id <> ${well.publicId}`
        const limit = 2
        const counted = <Item, Place>(
          read: (after: Place | undefined) => Effect.Effect<Page<Item, Place>, StoreError>
        ) =>
          Effect.gen(function* () {
            const first = yield* read(undefined)
            const second = first.next === undefined ? undefined : yield* read(first.next)
            return [first.unreadable, first.items.length, second?.unreadable, second?.items.length]
          })
        const lists = [
          counted((after: AccountPlace | undefined) => store.list({ projectId: "project", now: 10, after, limit })),
          counted((after: AbandonedPlace | undefined) => store.findAbandoned({ now: Date.now(), after, limit })),
          counted((after: IdPlace | undefined) => store.listSealed({ after, limit })),
          counted((after: Pick<OutboxEvent, "sequence"> | undefined) => store.readOutbox(after?.sequence ?? 0, limit))
        ]
        for (const each of lists) assert.deepStrictEqual(yield* each, [2, 0, 0, 1])
      })
    )

    it.effect("a row that does not decode is a StoreError, and the message shows nothing of it", () =>
      Effect.gen(function* () {
        const { added, sql, store } = yield* start
        const one = yield* added()
        const attempt = attemptFor(one.id)
        yield* store.write({ from: one, to: one, announce: ["renewed"], attempt })
        yield* sql`UPDATE rekindle_accounts SET status = 'NEVER-HEARD-OF', credential = 'secret-text'`
        const errors: ReadonlyArray<StoreError> = [
          yield* Effect.flip(store.find(one.id)),
          yield* Effect.flip(store.write({ from: { ...one, revision: 8 }, to: one, announce: [], attempt }))
        ]
        for (const error of errors) {
          assert.strictEqual(error._tag, "StoreError")
          for (const secret of ["secret-text", "NEVER-HEARD-OF", attempt.stateHash, attempt.sealed]) {
            assert.notInclude(error.message, secret)
          }
        }
      })
    )
  })
