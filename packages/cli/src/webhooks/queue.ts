/**
 * The queue of deliveries, as statements: events come in, endpoints are claimed, and the result of each attempt is written.
 *
 * An endpoint is claimed with a lease, as a whole, so at any time one process sends to it, one event after the other. That keeps its order. A
 * process that dies leaves its lease behind, and when that has run out another process repeats the event, with the same id.
 *
 * `effect/persistence`'s PersistedQueue does not serve here. It hands out elements one by one, so an element that waits for its next attempt
 * lets later ones of its endpoint pass, and two processes send two elements of one endpoint at once. It counts attempts where this has to
 * count a day, and its dead letters can neither be listed nor replayed.
 *
 * @module
 */
import { Array as Arr, Effect, Schema } from "effect"
import { type Database, DeliveryRow, decodeAll, decodeReadable, Int, SubscriptionRow } from "./rows.ts"

/** A statement has at most 32,766 parameters on SQLite. */
const insertedAtOnce = 1_000

/** A new delivery. */
export interface Queued {
  readonly subscriptionId: string
  readonly sequence: number
  readonly messageId: string
  readonly eventType: string
  readonly body: string
}

/** A delivery to attempt. */
export const PendingRow = Schema.Struct({
  sequence: Int,
  message_id: Schema.String,
  event_type: Schema.String,
  body: Schema.String
})
export type PendingRow = typeof PendingRow.Type

/** One attempt: its lease, and what the endpoint answered. `error` is null if it answered 2xx. */
export interface Attempt {
  readonly subscription: SubscriptionRow
  readonly owner: string
  readonly sequence: number
  readonly now: number
  readonly answered: number | null
  readonly error: string | null
}

const ThroughRow = Schema.Struct({ through: Int })
const BacklogRow = Schema.Struct({ count: Int, oldest: Schema.NullOr(Int) })

export const makeQueue = ({ clock, isSqlite, sql }: Database) => {
  const skipping = isSqlite ? sql`` : sql` FOR UPDATE SKIP LOCKED`
  const decodeSubscriptions = decodeReadable(SubscriptionRow)

  const settle = ({ answered, error, now, sequence, subscription }: Attempt, state: "pending" | "delivered") =>
    sql`UPDATE rekindle_webhook_deliveries SET state = ${state}, attempts = attempts + 1, attempted_at = ${now},
      answered = ${answered}, error = ${error}, ended_at = ${state === "delivered" ? now : null}
      WHERE subscription_id = ${subscription.id} AND sequence = ${sequence} AND state = 'pending'`

  const bury = (subscriptionId: string, now: number, queuedUntil: number, why: string) =>
    sql`UPDATE rekindle_webhook_deliveries SET state = 'dead', ended_at = ${now}, error = COALESCE(error, ${why})
      WHERE subscription_id = ${subscriptionId} AND state = 'pending' AND queued_at <= ${queuedUntil} RETURNING sequence`

  return {
    /** The sequence of the last event that was queued. */
    through: sql`SELECT through FROM rekindle_webhook_cursor`.pipe(
      Effect.flatMap(decodeAll(ThroughRow)),
      Effect.map(([row]) => row?.through ?? 0)
    ),

    /** The subscriptions in service of some projects. */
    subscribers: (projectIds: ReadonlyArray<string>) =>
      projectIds.length === 0
        ? Effect.succeed([])
        : sql`SELECT * FROM rekindle_webhook_subscriptions WHERE disabled_at IS NULL AND project_id IN ${sql.in(projectIds)}`.pipe(
            Effect.flatMap(decodeSubscriptions)
          ),

    /**
     * Queues the deliveries of the events after `from` and up to `to`, in one transaction with the cursor. False if another process was
     * faster, and then nothing is queued twice.
     */
    queue: ({
      deliveries,
      from,
      now,
      to
    }: {
      readonly from: number
      readonly to: number
      readonly now: number
      readonly deliveries: ReadonlyArray<Queued>
    }) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const moved =
            yield* sql`UPDATE rekindle_webhook_cursor SET through = ${to} WHERE through = ${from} RETURNING through`
          if (moved.length === 0) return false
          for (const some of Arr.chunksOf(deliveries, insertedAtOnce)) {
            yield* sql`INSERT INTO rekindle_webhook_deliveries ${sql.insert(
              Arr.map(some, ({ body, eventType, messageId, sequence, subscriptionId }) => ({
                subscription_id: subscriptionId,
                sequence,
                message_id: messageId,
                event_type: eventType,
                body,
                state: "pending",
                attempts: 0,
                queued_at: now
              }))
            )} ON CONFLICT (subscription_id, sequence) DO NOTHING`
          }
          return true
        })
      ),

    /**
     * Claims endpoints that have something to send. Those that failed last are claimed apart, so that they take no place of the others.
     * Another process that claims at the same time gets other endpoints.
     */
    claim: ({
      failing,
      leaseMillis,
      limit,
      now,
      owner
    }: {
      readonly failing: boolean
      readonly limit: number
      readonly leaseMillis: number
      readonly now: number
      readonly owner: string
    }) =>
      sql`UPDATE rekindle_webhook_subscriptions SET lease_owner = ${owner}, lease_until = ${clock(now)} + ${leaseMillis}
        WHERE id IN (SELECT id FROM rekindle_webhook_subscriptions WHERE disabled_at IS NULL
          AND failures ${failing ? sql`> 0` : sql`= 0`} AND retry_at <= ${clock(now)}
          AND (lease_until IS NULL OR lease_until <= ${clock(now)})
          AND EXISTS (SELECT 1 FROM rekindle_webhook_deliveries
            WHERE subscription_id = rekindle_webhook_subscriptions.id AND state = 'pending')
          ORDER BY retry_at LIMIT ${limit}${skipping}) RETURNING *`.pipe(Effect.flatMap(decodeSubscriptions)),

    /** The next deliveries of an endpoint, in order. */
    pending: (subscriptionId: string, limit: number) =>
      sql`SELECT sequence, message_id, event_type, body FROM rekindle_webhook_deliveries
        WHERE subscription_id = ${subscriptionId} AND state = 'pending' ORDER BY sequence LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeAll(PendingRow))
      ),

    /**
     * The endpoint answered 2xx. Returns whether the caller may go on with the next delivery: it still has the lease, which is extended, and
     * the subscription is as it was when it was claimed.
     */
    delivered: (attempt: Attempt, leaseMillis: number) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* settle(attempt, "delivered")
          const held = yield* sql`UPDATE rekindle_webhook_subscriptions SET failures = 0, retry_at = 0,
            lease_until = ${clock(attempt.now)} + ${leaseMillis}
            WHERE id = ${attempt.subscription.id} AND lease_owner = ${attempt.owner}
            AND revision = ${attempt.subscription.revision} RETURNING id`
          return held.length === 1
        })
      ),

    /**
     * The attempt failed. The endpoint waits, and everything that has waited since `queuedUntil` is given up. Returns the number of
     * deliveries that were.
     */
    failed: (attempt: Attempt, next: { readonly waitMillis: number; readonly queuedUntil: number }) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* settle(attempt, "pending")
          const dead = yield* bury(
            attempt.subscription.id,
            attempt.now,
            next.queuedUntil,
            "the endpoint failed for a day"
          )
          yield* sql`UPDATE rekindle_webhook_subscriptions SET failures = failures + 1,
            retry_at = ${clock(attempt.now)} + ${next.waitMillis}, lease_owner = NULL, lease_until = NULL
            WHERE id = ${attempt.subscription.id} AND lease_owner = ${attempt.owner}`
          return dead.length
        })
      ),

    /** The endpoint answered 410. It gets nothing more, and what waits is given up. */
    gone: (attempt: Attempt) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* settle(attempt, "pending")
          const dead = yield* bury(attempt.subscription.id, attempt.now, attempt.now, "the endpoint answered 410")
          yield* sql`UPDATE rekindle_webhook_subscriptions SET disabled_at = ${attempt.now}, revision = revision + 1,
            lease_owner = NULL, lease_until = NULL WHERE id = ${attempt.subscription.id}`
          return dead.length
        })
      ),

    /** Gives a lease back. */
    release: (subscriptionId: string, owner: string) =>
      sql`UPDATE rekindle_webhook_subscriptions SET lease_owner = NULL, lease_until = NULL
        WHERE id = ${subscriptionId} AND lease_owner = ${owner}`.pipe(Effect.asVoid),

    /** Deliveries of a subscription, newest first. */
    list: ({
      before,
      limit,
      state,
      subscriptionId
    }: {
      readonly subscriptionId: string
      readonly state: string | undefined
      readonly before: number | undefined
      readonly limit: number
    }) =>
      sql`SELECT sequence, message_id, event_type, state, attempts, queued_at, attempted_at, answered, error
        FROM rekindle_webhook_deliveries WHERE ${sql.and([
          sql`subscription_id = ${subscriptionId}`,
          ...(state === undefined ? [] : [sql`state = ${state}`]),
          ...(before === undefined ? [] : [sql`sequence < ${before}`])
        ])} ORDER BY sequence DESC LIMIT ${limit}`.pipe(Effect.flatMap(decodeAll(DeliveryRow))),

    /** Queues ended deliveries again: those with the ids, or all dead ones. The endpoint is tried at once. */
    replay: ({
      ids,
      now,
      subscriptionId
    }: {
      readonly subscriptionId: string
      readonly ids: ReadonlyArray<string> | undefined
      readonly now: number
    }) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const which =
            ids === undefined
              ? sql`state = 'dead'`
              : ids.length === 0
                ? sql`1 = 0`
                : sql`state <> 'pending' AND message_id IN ${sql.in(ids)}`
          const queued = yield* sql`UPDATE rekindle_webhook_deliveries SET state = 'pending', queued_at = ${now},
            ended_at = NULL, error = NULL WHERE subscription_id = ${subscriptionId} AND ${which} RETURNING sequence`
          yield* sql`UPDATE rekindle_webhook_subscriptions SET disabled_at = NULL, failures = 0, retry_at = 0,
            revision = revision + 1 WHERE id = ${subscriptionId}`
          return queued.length
        })
      ),

    /** Deletes delivered and dead deliveries that ended before a time, at most `limit` of each. Returns the larger number. */
    sweep: ({
      deadBefore,
      deliveredBefore,
      limit
    }: {
      readonly deliveredBefore: number
      readonly deadBefore: number
      readonly limit: number
    }) => {
      const old = (state: string, before: number) =>
        sql`DELETE FROM rekindle_webhook_deliveries WHERE (subscription_id, sequence) IN (
          SELECT subscription_id, sequence FROM rekindle_webhook_deliveries
          WHERE state = ${state} AND ended_at < ${before} ORDER BY ended_at LIMIT ${limit}${skipping}) RETURNING sequence`
      return Effect.map(Effect.all([old("delivered", deliveredBefore), old("dead", deadBefore)]), (deleted) =>
        Math.max(...deleted.map((rows) => rows.length))
      )
    },

    /** How many deliveries wait, and since when the oldest does. */
    backlog:
      sql`SELECT COUNT(*) AS count, MIN(queued_at) AS oldest FROM rekindle_webhook_deliveries WHERE state = 'pending'`.pipe(
        Effect.flatMap(decodeAll(BacklogRow)),
        Effect.map(([row]) => ({ count: row?.count ?? 0, oldest: row?.oldest ?? undefined }))
      )
  }
}
export type Queue = ReturnType<typeof makeQueue>
