/**
 * The database schema, as migrations that run once each, in order. Most statements are the same on SQLite and Postgres. Times are epoch
 * milliseconds in 64-bit integers, and sealed values are text.
 *
 * @module
 */
import { Effect } from "effect"
import { Migrator, SqlClient } from "effect/sql"

const initial = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const sequence = sql.onDialectOrElse({
    pg: () => sql.literal("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    orElse: () => sql.literal("INTEGER PRIMARY KEY AUTOINCREMENT")
  })
  // Ids sort by bytes, whatever the locale of the database, because paging by id relies on that order.
  const id = sql.onDialectOrElse({ pg: () => sql.literal(`TEXT COLLATE "C"`), orElse: () => sql.literal("TEXT") })

  yield* sql`CREATE TABLE rekindle_auth_configs (
    id ${id} PRIMARY KEY,
    project_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    updated_at BIGINT NOT NULL
  )`

  yield* sql`CREATE TABLE rekindle_accounts (
    id ${id} PRIMARY KEY,
    project_id TEXT NOT NULL,
    auth_config_id TEXT NOT NULL REFERENCES rekindle_auth_configs (id),
    toolkit TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scheme TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    generation BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    credential TEXT,
    previous_credential TEXT,
    obtained_at BIGINT NOT NULL,
    expires_at BIGINT,
    renew_at BIGINT,
    consent_until BIGINT,
    lease_owner TEXT,
    lease_until BIGINT,
    epoch BIGINT NOT NULL,
    intent_generation BIGINT,
    intent_hash TEXT,
    intent_since BIGINT,
    intent_attempts BIGINT,
    last_attempt TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX rekindle_accounts_due ON rekindle_accounts (renew_at) WHERE renew_at IS NOT NULL`
  yield* sql`CREATE INDEX rekindle_accounts_open_intent ON rekindle_accounts (intent_since) WHERE intent_since IS NOT NULL`

  yield* sql`CREATE TABLE rekindle_consent_attempts (
    state_hash TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES rekindle_accounts (id),
    sealed TEXT NOT NULL,
    redirect_url TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX rekindle_consent_attempts_expiry ON rekindle_consent_attempts (expires_at)`

  yield* sql`CREATE TABLE rekindle_outbox (
    sequence ${sequence},
    account_id TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    generation BIGINT NOT NULL,
    at BIGINT NOT NULL
  )`

  // Postgres writes the account and its announcements in one statement. SQLite cannot combine an INSERT with an UPDATE, so a trigger
  // inserts them.
  yield* sql.onDialectOrElse({
    sqlite: () =>
      Effect.andThen(
        sql`ALTER TABLE rekindle_accounts ADD COLUMN announce TEXT`,
        sql`CREATE TRIGGER rekindle_announce AFTER UPDATE OF announce ON rekindle_accounts WHEN NEW.announce IS NOT NULL BEGIN
          INSERT INTO rekindle_outbox (account_id, type, status, status_reason, generation, at)
          SELECT NEW.id, value, NEW.status, NEW.status_reason, NEW.generation, NEW.updated_at
          FROM json_each(NEW.announce) ORDER BY key;
        END`
      ),
    orElse: () => Effect.void
  })

  yield* sql`CREATE TABLE rekindle_idempotency_keys (
    key_hash TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    answer TEXT,
    created_at BIGINT NOT NULL
  )`
  yield* sql`CREATE INDEX rekindle_idempotency_keys_age ON rekindle_idempotency_keys (created_at)`
})

// The epoch orders two answers of one grant without a clock.
const obtainedEpoch = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_accounts ADD COLUMN obtained_epoch BIGINT`
})

// An event has its own time. The `updated_at` of an account that waits for consent in service does not change, so it does not show when the
// wait began.
const announcedAt = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    sqlite: () =>
      Effect.andThen(
        sql`DROP TRIGGER rekindle_announce`,
        sql`CREATE TRIGGER rekindle_announce AFTER UPDATE OF announce ON rekindle_accounts WHEN NEW.announce IS NOT NULL BEGIN
          INSERT INTO rekindle_outbox (account_id, type, status, status_reason, generation, at)
          SELECT NEW.id, value, NEW.status, NEW.status_reason, NEW.generation, json_extract(NEW.announce, '$.at')
          FROM json_each(NEW.announce, '$.types') ORDER BY key;
        END`
      ),
    orElse: () => Effect.void
  })
})

// Each auth config gets a share of the renewer, however many accounts of another one are overdue.
const dueByConfig = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX rekindle_accounts_due_by_config ON rekindle_accounts (auth_config_id, renew_at) WHERE renew_at IS NOT NULL`
  yield* sql`DROP INDEX rekindle_accounts_due`
})

// Ids are unique in their project. Two projects may both have a config "google", or have imported the same account.
const projects = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO rekindle_auth_configs (id, project_id, sealed, updated_at)
    SELECT project_id || '/' || id, project_id, sealed, updated_at FROM rekindle_auth_configs`
  yield* sql`UPDATE rekindle_accounts SET auth_config_id = project_id || '/' || auth_config_id`
  yield* sql`DELETE FROM rekindle_auth_configs WHERE id NOT LIKE '%/%'`
  yield* sql`ALTER TABLE rekindle_accounts ADD COLUMN public_id TEXT`
  yield* sql`UPDATE rekindle_accounts SET public_id = id`
  yield* sql`CREATE UNIQUE INDEX rekindle_accounts_public_id ON rekindle_accounts (project_id, public_id)`
  yield* sql`ALTER TABLE rekindle_outbox ADD COLUMN project_id TEXT`
  yield* sql`UPDATE rekindle_outbox SET project_id =
    COALESCE((SELECT project_id FROM rekindle_accounts WHERE rekindle_accounts.id = rekindle_outbox.account_id), 'default')`
  yield* sql.onDialectOrElse({
    sqlite: () =>
      Effect.andThen(
        sql`DROP TRIGGER rekindle_announce`,
        sql`CREATE TRIGGER rekindle_announce AFTER UPDATE OF announce ON rekindle_accounts WHEN NEW.announce IS NOT NULL BEGIN
          INSERT INTO rekindle_outbox (project_id, account_id, type, status, status_reason, generation, at)
          SELECT NEW.project_id, NEW.public_id, value, NEW.status, NEW.status_reason, NEW.generation,
            json_extract(NEW.announce, '$.at')
          FROM json_each(NEW.announce, '$.types') ORDER BY key;
        END`
      ),
    orElse: () => Effect.void
  })
})

// A credential is withdrawn until the provider confirms. Only the newest links of an account are kept.
const withdrawal = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_accounts ADD COLUMN withdrawal TEXT`
  yield* sql`CREATE INDEX rekindle_consent_attempts_account ON rekindle_consent_attempts (account_id, created_at)`
})

// The digest of a password could be guessed from a list, and nothing reads the column: the generation identifies the token that is being
// spent.
const noDigests = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_accounts DROP COLUMN intent_hash`
})

// One canary for each key of the ring. The engine detects a ring that lacks a key, or has another key under its id, when it starts.
const vaultKeys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE rekindle_vault_keys (key_id TEXT PRIMARY KEY, canary TEXT NOT NULL)`
})

// A SQLite database counts its leases, and the count is also stored in its mark. So a database that was restored from an older snapshot is
// detected.
const leaseCount = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    sqlite: () =>
      Effect.all([
        sql`CREATE TABLE IF NOT EXISTS rekindle_database (id TEXT NOT NULL, leases BIGINT NOT NULL)`,
        sql`INSERT INTO rekindle_database (id, leases)
          SELECT lower(hex(randomblob(16))), 0 WHERE NOT EXISTS (SELECT 1 FROM rekindle_database)`,
        sql`CREATE TRIGGER rekindle_count_leases AFTER UPDATE OF epoch ON rekindle_accounts BEGIN
          UPDATE rekindle_database SET leases = leases + 1;
        END`
      ]),
    orElse: () => Effect.void
  })
})

// A used state is kept with the result of its consent.
const usedStates = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_consent_attempts ADD COLUMN taken_at BIGINT`
})

// A machine with a wrong clock may have marked credentials of a service as dead. They are tried again.
const tryServicesAgain = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE rekindle_accounts SET renew_at = updated_at WHERE status = 'EXPIRED' AND renew_at IS NULL
    AND credential IS NOT NULL AND scheme IN ('S2S_OAUTH2', 'GOOGLE_SERVICE_ACCOUNT')`
})

// Auth configs can be disabled, a project's accounts listed by age and user, and accounts removed. The id of a removed account is kept,
// because a journal may still hold an answer for it.
const management = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = sql.onDialectOrElse({ pg: () => sql.literal(`TEXT COLLATE "C"`), orElse: () => sql.literal("TEXT") })
  yield* sql`ALTER TABLE rekindle_auth_configs ADD COLUMN disabled_at BIGINT`
  yield* sql`CREATE INDEX rekindle_accounts_listed ON rekindle_accounts (project_id, created_at, id)`
  yield* sql`CREATE INDEX rekindle_accounts_user ON rekindle_accounts (project_id, user_id)`
  yield* sql`CREATE INDEX rekindle_accounts_withdrawals ON rekindle_accounts (auth_config_id, renew_at)
    WHERE status = 'REVOKED' AND renew_at IS NOT NULL`
  yield* sql`CREATE INDEX rekindle_idempotency_keys_account ON rekindle_idempotency_keys (account_id)`
  yield* sql`CREATE TABLE rekindle_removed_accounts (id ${id} PRIMARY KEY, removed_at BIGINT NOT NULL)`
})

// The sequence up to which the outbox was trimmed or swept. A reader that returns compares it, and learns whether it missed events.
const forgottenEvents = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE rekindle_outbox_forgotten (through BIGINT NOT NULL)`
  yield* sql`INSERT INTO rekindle_outbox_forgotten (through) SELECT COALESCE(MIN(sequence), 1) - 1 FROM rekindle_outbox`
})

// Postgres updates a row in place (HOT) only if no indexed column changes. Each renewal sets and clears the intent of its account, so the
// index of open intents becomes a narrow table. Triggers maintain it, so no statement can forget it. Pages of accounts keep room for the
// new row. SQLite has no in-place updates. There the same name is a view over the index.
const openIntents = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    pg: () =>
      Effect.all([
        sql`CREATE TABLE rekindle_open_intents (
          since BIGINT NOT NULL,
          account_id TEXT COLLATE "C" NOT NULL,
          PRIMARY KEY (since, account_id)
        )`,
        sql`CREATE OR REPLACE FUNCTION rekindle_track_intent() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN
            IF TG_OP <> 'INSERT' AND OLD.intent_since IS NOT NULL THEN
              DELETE FROM rekindle_open_intents WHERE since = OLD.intent_since AND account_id = OLD.id;
            END IF;
            IF TG_OP <> 'DELETE' AND NEW.intent_since IS NOT NULL THEN
              INSERT INTO rekindle_open_intents (since, account_id) VALUES (NEW.intent_since, NEW.id);
            END IF;
            RETURN NULL;
          END $$`,
        sql`CREATE TRIGGER rekindle_intent_moved AFTER UPDATE OF id, intent_since ON rekindle_accounts FOR EACH ROW
          WHEN (OLD.intent_since IS DISTINCT FROM NEW.intent_since OR OLD.id <> NEW.id)
          EXECUTE FUNCTION rekindle_track_intent()`,
        sql`CREATE TRIGGER rekindle_intent_added AFTER INSERT ON rekindle_accounts FOR EACH ROW
          WHEN (NEW.intent_since IS NOT NULL) EXECUTE FUNCTION rekindle_track_intent()`,
        sql`CREATE TRIGGER rekindle_intent_removed AFTER DELETE ON rekindle_accounts FOR EACH ROW
          WHEN (OLD.intent_since IS NOT NULL) EXECUTE FUNCTION rekindle_track_intent()`,
        sql`INSERT INTO rekindle_open_intents (since, account_id)
          SELECT intent_since, id FROM rekindle_accounts WHERE intent_since IS NOT NULL`,
        sql`DROP INDEX rekindle_accounts_open_intent`,
        sql`ALTER TABLE rekindle_accounts SET (fillfactor = 70)`
      ]),
    orElse: () =>
      sql`CREATE VIEW rekindle_open_intents AS
        SELECT intent_since AS since, id AS account_id FROM rekindle_accounts WHERE intent_since IS NOT NULL`
  })
})

// Names for people. The index is partial, so an account without a name costs it nothing, and no renewal changes its columns. Lists by the
// time of the last change have no index of their own: each renewal would have to write it.
const aliases = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE rekindle_accounts ADD COLUMN alias TEXT`
  yield* sql`CREATE UNIQUE INDEX rekindle_accounts_alias ON rekindle_accounts (project_id, user_id, toolkit, alias)
    WHERE alias IS NOT NULL`
  yield* sql`ALTER TABLE rekindle_auth_configs ADD COLUMN created_at BIGINT`
  yield* sql`UPDATE rekindle_auth_configs SET created_at = updated_at`
})

// For counts of the accounts of an auth config, and for the check that a removed one has none. No renewal changes these columns.
const accountsOfConfig = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX rekindle_accounts_config ON rekindle_accounts (auth_config_id, status)`
})

const migrations = {
  "0001_initial": initial,
  "0002_obtained_epoch": obtainedEpoch,
  "0003_announced_at": announcedAt,
  "0004_due_by_config": dueByConfig,
  "0005_projects": projects,
  "0006_withdrawal": withdrawal,
  "0007_no_digests": noDigests,
  "0008_vault_keys": vaultKeys,
  "0009_lease_count": leaseCount,
  "0010_used_states": usedStates,
  "0011_try_services_again": tryServicesAgain,
  "0012_management": management,
  "0013_forgotten_events": forgottenEvents,
  "0014_open_intents": openIntents,
  "0015_aliases": aliases,
  "0016_accounts_of_config": accountsOfConfig
}

/** Migrates the database to the schema after the first `count` migrations. */
export const migrateTo = (count: number) =>
  Migrator.make({})({
    loader: Migrator.fromRecord(Object.fromEntries(Object.entries(migrations).slice(0, count))),
    table: "rekindle_migrations"
  })

const present = Object.keys(migrations).length

/**
 * Fails on a database that a newer version has migrated. This version does not know the newer columns, would write rows without them, and
 * would lose events silently.
 */
const refuseNewer = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly latest: number }>`SELECT MAX(migration_id) AS latest FROM rekindle_migrations`
  const latest = rows[0]?.latest ?? 0
  if (latest > present) {
    return yield* new Migrator.MigrationError({
      kind: "BadState",
      message: `the database has the schema ${latest} and this version knows ${present}: start a version that knows it, or restore a backup`
    })
  }
})

/** Migrates the database to the current schema. Several processes may run it at once. Fails on a newer schema. */
export const migrate = Effect.andThen(migrateTo(present), refuseNewer)
