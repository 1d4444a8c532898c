/**
 * The tables of webhooks. Times are epoch milliseconds. The secrets of a subscription are sealed.
 *
 * @module
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Subscriptions, their deliveries, and how far the outbox has been queued. */
export const webhooks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const id = sql.onDialectOrElse({ pg: () => sql.literal(`TEXT COLLATE "C"`), orElse: () => sql.literal("TEXT") })

  yield* sql`CREATE TABLE rekindle_webhook_subscriptions (
    id ${id} PRIMARY KEY,
    project_id TEXT NOT NULL,
    url TEXT NOT NULL,
    version TEXT NOT NULL,
    events TEXT NOT NULL,
    secrets TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT,
    failures BIGINT NOT NULL,
    retry_at BIGINT NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT
  )`
  yield* sql`CREATE INDEX rekindle_webhook_subscriptions_listed ON rekindle_webhook_subscriptions (project_id, created_at, id)`

  yield* sql`CREATE TABLE rekindle_webhook_deliveries (
    subscription_id ${id} NOT NULL REFERENCES rekindle_webhook_subscriptions (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    queued_at BIGINT NOT NULL,
    attempted_at BIGINT,
    answered BIGINT,
    error TEXT,
    ended_at BIGINT,
    PRIMARY KEY (subscription_id, sequence)
  )`
  yield* sql`CREATE INDEX rekindle_webhook_deliveries_pending ON rekindle_webhook_deliveries (subscription_id, sequence)
    WHERE state = 'pending'`
  yield* sql`CREATE INDEX rekindle_webhook_deliveries_ended ON rekindle_webhook_deliveries (state, ended_at)
    WHERE ended_at IS NOT NULL`

  yield* sql`CREATE TABLE rekindle_webhook_cursor (through BIGINT NOT NULL)`
  yield* sql`INSERT INTO rekindle_webhook_cursor (through) VALUES (0)`
})
