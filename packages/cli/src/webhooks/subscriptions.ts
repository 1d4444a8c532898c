/**
 * The subscriptions of projects, in the database: provides `WebhookSubscriptions`.
 *
 * @module
 */
import { CurrentProject, InvalidRequest, type PageOptions } from "@rekindle/core"
import { CredentialVault, Egress } from "@rekindle/engine"
import {
  type WebhookDelivery,
  type WebhookDeliveryFilter,
  WebhookEvents,
  type WebhookSubscription,
  WebhookSubscriptions
} from "@rekindle/platform"
import { Clock, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { makeQueue } from "./queue.ts"
import { database, decodeAll, type DeliveryRow, Int, orDown, SubscriptionRow } from "./rows.ts"
import { makeSecrets } from "./secrets.ts"

const defaultLimit = 50
const largestLimit = 500

const shown = (row: SubscriptionRow): WebhookSubscription => ({
  id: row.id,
  url: row.url,
  version: row.version,
  events: row.events,
  createdAt: DateTime.makeUnsafe(row.created_at),
  updatedAt: DateTime.makeUnsafe(row.updated_at),
  disabledAt: row.disabled_at === null ? undefined : DateTime.makeUnsafe(row.disabled_at)
})

const shownDelivery = (row: DeliveryRow): WebhookDelivery => ({
  id: row.message_id,
  sequence: row.sequence,
  eventType: row.event_type,
  state: row.state,
  attempts: row.attempts,
  queuedAt: DateTime.makeUnsafe(row.queued_at),
  attemptedAt: row.attempted_at === null ? undefined : DateTime.makeUnsafe(row.attempted_at),
  answered: row.answered ?? undefined,
  error: row.error ?? undefined
})

const CountRow = Schema.Struct({ count: Int })

/** The position of a page: the last subscription of the page before. */
const Cursor = Schema.StringFromBase64Url.pipe(
  Schema.decodeTo(Schema.fromJsonString(Schema.Struct({ createdAt: Schema.Int, id: Schema.String })))
)
const decodeCursor = Schema.decodeUnknownOption(Cursor)
const encodeCursor = Schema.encodeSync(Cursor)

const limited = (limit: number) =>
  Number.isInteger(limit) && limit >= 1 && limit <= largestLimit
    ? Effect.succeed(limit)
    : Effect.fail(
        new InvalidRequest({
          message: `limit has to be a whole number from 1 to ${largestLimit}`,
          slug: "invalid_limit"
        })
      )

const make = Effect.gen(function* () {
  const egress = yield* Egress
  const secrets = makeSecrets(yield* CredentialVault)
  const random = yield* SecureRandom.SecureRandom
  const given = yield* database
  const { sql } = given
  const queue = makeQueue(given)
  const decodeRows = decodeAll(SubscriptionRow)

  const find = Effect.fnUntraced(function* (id: string) {
    const [row] = yield* sql`SELECT * FROM rekindle_webhook_subscriptions
      WHERE id = ${id} AND project_id = ${yield* CurrentProject}`.pipe(Effect.flatMap(decodeRows))
    return row ?? (yield* WebhookSubscriptions.notFound())
  })

  const checkUrl = Effect.fnUntraced(function* (text: string) {
    const url = URL.parse(text)
    const problem =
      url === null
        ? "url_malformed: the address is not an absolute url"
        : yield* egress.refusalOnceResolved([url.host], url)
    if (problem !== undefined) return yield* WebhookSubscriptions.refusedUrl(problem)
  })

  /** Writes changes of a row that is still at its revision. None if it was changed or removed meanwhile. */
  const write = (
    row: SubscriptionRow,
    changes: Partial<Pick<SubscriptionRow, "url" | "version" | "secrets">> & {
      readonly events?: string
      readonly disabled_at?: null
      readonly failures?: number
      readonly retry_at?: number
      readonly updated_at?: number
    }
  ) =>
    sql`UPDATE rekindle_webhook_subscriptions SET ${sql.update({ ...changes, revision: row.revision + 1 })}
      WHERE id = ${row.id} AND revision = ${row.revision} RETURNING *`.pipe(
      Effect.flatMap(decodeRows),
      Effect.map(([written]) => Option.fromUndefinedOr(written))
    )

  /** Reads, decides and writes, until nobody was faster. */
  const change = <A, E, R>(
    id: string,
    decide: (row: SubscriptionRow) => Effect.Effect<readonly [changes: Parameters<typeof write>[1], result: A], E, R>
  ) => {
    const once: Effect.Effect<readonly [SubscriptionRow, A], Effect.Error<ReturnType<typeof find>> | E, R> = Effect.gen(
      function* () {
        const row = yield* find(id)
        const [changes, result] = yield* decide(row)
        const written = yield* write(row, changes)
        return Option.isSome(written) ? ([written.value, result] as const) : yield* once
      }
    )
    return once
  }

  return WebhookSubscriptions.of({
    create: Effect.fnUntraced(function* ({ events, url, version }) {
      yield* checkUrl(url)
      yield* WebhookEvents.check(events, version)
      const owner = {
        id: `whs_${Base64Url.encode(yield* Effect.orDie(random.randomBytes(12)))}`,
        projectId: yield* CurrentProject
      }
      const { sealed, secret } = yield* secrets.first(owner)
      const now = yield* Clock.currentTimeMillis
      const [row] = yield* sql`INSERT INTO rekindle_webhook_subscriptions ${sql.insert({
        id: owner.id,
        project_id: owner.projectId,
        url,
        version,
        events: JSON.stringify(events),
        secrets: sealed,
        revision: 0,
        created_at: now,
        updated_at: now,
        failures: 0,
        retry_at: 0
      })} RETURNING *`.pipe(Effect.flatMap(decodeRows))
      return row === undefined ? yield* Effect.die(new Error("no row")) : { ...shown(row), secret }
    }, orDown),

    get: (id) => orDown(Effect.map(find(id), shown)),

    list: Effect.fnUntraced(function* ({ cursor, limit = defaultLimit }: PageOptions = {}) {
      const size = yield* limited(limit)
      const after = cursor === undefined ? Option.none() : decodeCursor(cursor)
      if (cursor !== undefined && Option.isNone(after)) {
        return yield* new InvalidRequest({ message: "the cursor is not one of this list", slug: "invalid_cursor" })
      }
      const further = Option.match(after, {
        onNone: () => sql``,
        onSome: ({ createdAt, id }) =>
          sql` AND (created_at > ${createdAt} OR (created_at = ${createdAt} AND id > ${id}))`
      })
      const found = yield* sql`SELECT * FROM rekindle_webhook_subscriptions
        WHERE project_id = ${yield* CurrentProject}${further} ORDER BY created_at, id LIMIT ${size + 1}`.pipe(
        Effect.flatMap(decodeRows)
      )
      const items = found.slice(0, size)
      const last = items.at(-1)
      return {
        items: items.map(shown),
        nextCursor:
          found.length > size && last !== undefined
            ? encodeCursor({ createdAt: last.created_at, id: last.id })
            : undefined
      }
    }, orDown),

    count: Effect.gen(function* () {
      const rows = yield* sql`SELECT COUNT(*) AS count FROM rekindle_webhook_subscriptions
        WHERE project_id = ${yield* CurrentProject}`.pipe(Effect.flatMap(decodeAll(CountRow)))
      return rows[0]?.count ?? 0
    }).pipe(orDown),

    update: Effect.fnUntraced(function* (id, { events, url, version }) {
      if (url !== undefined) yield* checkUrl(url)
      const [row] = yield* change(id, (row) =>
        Effect.gen(function* () {
          yield* WebhookEvents.check(events ?? row.events, version ?? row.version)
          const changes = {
            ...(url !== undefined && { url }),
            ...(version !== undefined && { version }),
            ...(events !== undefined && { events: JSON.stringify(events) }),
            disabled_at: null,
            failures: 0,
            retry_at: 0,
            updated_at: yield* Clock.currentTimeMillis
          }
          return [changes, undefined] as const
        })
      )
      return shown(row)
    }, orDown),

    remove: (id) =>
      orDown(
        Effect.flatMap(find(id), (row) =>
          Effect.asVoid(sql`DELETE FROM rekindle_webhook_subscriptions WHERE id = ${row.id}`)
        )
      ),

    rotateSecret: (id) =>
      change(id, (row) =>
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const owner = { id: row.id, projectId: row.project_id }
          // A key that is missing from the ring is for the operator to put back.
          const { sealed, secret } = yield* Effect.orDie(secrets.rotate(owner, row.secrets, now))
          return [{ secrets: sealed, updated_at: now }, secret] as const
        })
      ).pipe(
        Effect.map(([row, secret]) => ({ id: row.id, secret })),
        orDown
      ),

    deliveries: Effect.fnUntraced(function* (id, { before, limit = defaultLimit, state }: WebhookDeliveryFilter = {}) {
      const row = yield* find(id)
      const rows = yield* queue.list({ subscriptionId: row.id, state, before, limit: yield* limited(limit) })
      return rows.map(shownDelivery)
    }, orDown),

    replay: Effect.fnUntraced(function* (id, ids) {
      const row = yield* find(id)
      return yield* queue.replay({ subscriptionId: row.id, ids, now: yield* Clock.currentTimeMillis })
    }, orDown)
  })
})

/** The subscriptions in the database of the context. */
export const layer = Layer.effect(WebhookSubscriptions, make).pipe(Layer.provide(SecureRandom.layerWebCrypto))
