/**
 * The tables of the service beside the engine's, as migrations that run once each, in order. Each subject appends its own. Most statements are
 * the same on SQLite and Postgres. Times are epoch milliseconds in 64-bit integers.
 *
 * @module
 */
import { CurrentProject } from "@rekindle/core"
import { Clock, Effect, Schedule } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { webhooks } from "../webhooks/schema.ts"

// Entries are chained by their hashes. The head is one row: a writer locks it, so that the entries of several processes form one chain, and it
// tells whether the last entries were removed. The triggers are against accidents. Whoever may change the schema can drop them; the chain shows it.
const audit = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE rekindle_audit_log (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
  )`
  yield* sql`CREATE TABLE rekindle_audit_head (id BIGINT PRIMARY KEY, sequence BIGINT NOT NULL, hash TEXT NOT NULL)`
  yield* sql`INSERT INTO rekindle_audit_head (id, sequence, hash) VALUES (1, 0, '')`
  yield* sql.onDialectOrElse({
    pg: () =>
      Effect.all([
        sql`CREATE FUNCTION rekindle_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$`,
        sql`CREATE TRIGGER rekindle_audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON rekindle_audit_log
          FOR EACH STATEMENT EXECUTE FUNCTION rekindle_audit_is_append_only()`
      ]),
    orElse: () =>
      Effect.all([
        sql`CREATE TRIGGER rekindle_audit_not_changed BEFORE UPDATE ON rekindle_audit_log
          BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`,
        sql`CREATE TRIGGER rekindle_audit_not_deleted BEFORE DELETE ON rekindle_audit_log
          BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`
      ])
  })
})

// A project with `redirect_origins` NULL lets people land anywhere after consent. Keys are stored as hashes only.
const keys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const now = yield* Clock.currentTimeMillis
  yield* sql`CREATE TABLE rekindle_projects (
    id TEXT PRIMARY KEY,
    redirect_origins TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
  )`
  yield* sql`INSERT INTO rekindle_projects (id, created_at, updated_at) VALUES (${CurrentProject.defaultValue()}, ${now}, ${now})`
  yield* sql`CREATE TABLE rekindle_api_keys (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES rekindle_projects (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
  )`
  yield* sql`CREATE INDEX rekindle_api_keys_project ON rekindle_api_keys (project_id, created_at, id)`
})

// A link is found by the hash of its token. The hash of the browser that used it tells whether another one may, and which links a consent spends.
const connectLinks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE rekindle_connect_links (
    token_hash TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    callback_url TEXT,
    browser_hash TEXT,
    spent_at BIGINT,
    expires_at BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX rekindle_connect_links_browser ON rekindle_connect_links (browser_hash) WHERE browser_hash IS NOT NULL`
  yield* sql`CREATE INDEX rekindle_connect_links_expiry ON rekindle_connect_links (expires_at)`
})

const migrations = {
  "0001_audit": audit,
  "0002_keys": keys,
  "0003_connect_links": connectLinks,
  "0004_webhooks": webhooks
}

/** Migrates the database to the schema after the first `count` migrations. */
export const migrateTo = (count: number) =>
  Migrator.make({})({
    loader: Migrator.fromRecord(Object.fromEntries(Object.entries(migrations).slice(0, count))),
    table: "rekindle_service_migrations"
  })

const present = Object.keys(migrations).length

/** Fails on a database that a newer version has migrated, because this version does not know what the newer tables require. */
const refuseNewer = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{
    readonly latest: number
  }>`SELECT MAX(migration_id) AS latest FROM rekindle_service_migrations`
  const latest = rows[0]?.latest ?? 0
  if (latest > present) {
    return yield* new Migrator.MigrationError({
      kind: "BadState",
      message: `the database has the service's schema ${latest} and this version knows ${present}: start a version that knows it, or restore a backup`
    })
  }
})

/**
 * Migrates the database to the service's current schema. If several processes run it at once, one does and the others wait for it. Fails on a
 * newer schema.
 */
export const migrate = Effect.andThen(
  Effect.retry(migrateTo(present), {
    while: (error) => error._tag === "MigrationError" && error.kind === "Locked",
    schedule: Schedule.spaced("100 millis"),
    times: 50
  }),
  refuseNewer
)
