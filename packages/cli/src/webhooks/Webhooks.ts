/**
 * Webhooks: tells applications what happens to their connected accounts.
 *
 * `layer` provides the subscriptions, and sends events to them in the background. Any number of processes on one database may run it.
 *
 * @module
 */
import type { ConnectedAccounts } from "@rekindle/core"
import { type AccountStore, CredentialVault, Egress, type EgressOptions } from "@rekindle/engine"
import type { WebhookSubscriptions } from "@rekindle/platform"
import { Clock, Duration, Effect, Layer, Metric, Schedule } from "effect"
import type { SqlClient } from "effect/sql"
import * as Settings from "../settings/settings.ts"
import { attemptTimeout, makeDeliverer } from "./deliverer.ts"
import { makeIntake } from "./intake.ts"
import { makeQueue } from "./queue.ts"
import { asFailure, database, decodeReadable, SubscriptionRow } from "./rows.ts"
import { makeSecrets } from "./secrets.ts"
import * as Subscriptions from "./subscriptions.ts"

/** The settings of webhooks. */
export interface WebhookOptions {
  /** Hosts that may be private, and reached over plain http: `localhost:3000` while you try it, or receivers in your own network. */
  readonly privateHosts?: EgressOptions["privateHosts"]
  /** How often each process looks for new events. Default 1 second. */
  readonly pollInterval?: Duration.Input | undefined
}

/** The largest body of an answer that is read. Only the status counts. */
const maxBodyBytes = 16 * 1024

/** How long deliveries are kept after they ended. */
const keep = { delivered: Duration.days(1), dead: Duration.days(30) }

const sweptAtOnce = 500

const waiting = Metric.gauge("rekindle.webhooks.waiting", { description: "Deliveries that wait" })
const oldest = Metric.gauge("rekindle.webhooks.oldest_seconds", {
  description: "How long the oldest delivery that waits has waited, in seconds"
})

/** Sends to receivers, apart from the egress of providers: its sockets and limits are its own. */
const egress = ({ privateHosts }: WebhookOptions) =>
  Egress.layer({
    ...Settings.privateHosts("webhookPrivateHosts", privateHosts),
    timeout: attemptTimeout,
    maxBodyBytes
  })

const background = ({ pollInterval = "1 second" }: WebhookOptions) =>
  Effect.gen(function* () {
    const queue = makeQueue(yield* database)
    const intake = yield* makeIntake(queue)
    const deliver = yield* makeDeliverer(queue)

    const tick = Effect.andThen(
      asFailure(intake).pipe(Effect.catch((error) => Effect.logWarning("events were not queued for webhooks", error))),
      deliver
    )

    const sweep = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const deliveredBefore = now - Duration.toMillis(keep.delivered)
      const deadBefore = now - Duration.toMillis(keep.dead)
      while ((yield* queue.sweep({ deliveredBefore, deadBefore, limit: sweptAtOnce })) >= sweptAtOnce)
        yield* Effect.yieldNow
    }).pipe(
      asFailure,
      Effect.catch((error) => Effect.logWarning("old webhook deliveries were not swept", error))
    )

    const measure = Effect.gen(function* () {
      const backlog = yield* queue.backlog
      const now = yield* Clock.currentTimeMillis
      yield* Metric.update(waiting, backlog.count)
      yield* Metric.update(oldest, backlog.oldest === undefined ? 0 : Math.max(0, now - backlog.oldest) / 1000)
    }).pipe(asFailure, Effect.ignore)

    const every = (effect: Effect.Effect<void>, interval: Duration.Input) =>
      Effect.forkScoped(Effect.repeat(Effect.withTracerEnabled(effect, false), Schedule.spaced(interval)))
    yield* every(tick, pollInterval)
    yield* every(sweep, "1 hour")
    yield* every(measure, "30 seconds")
  })

/** The subscriptions alone, without sending: for a command on the database of a service that runs. */
export const layerSubscriptions = (
  options: WebhookOptions = {}
): Layer.Layer<WebhookSubscriptions, never, CredentialVault | SqlClient.SqlClient> =>
  Subscriptions.layer.pipe(Layer.provide(egress(options)))

/** The subscriptions, and the deliveries in the background. A stop waits for attempts that are under way, at most 10 seconds. */
export const layer = (
  options: WebhookOptions = {}
): Layer.Layer<WebhookSubscriptions, never, AccountStore | ConnectedAccounts | CredentialVault | SqlClient.SqlClient> =>
  Layer.merge(Subscriptions.layer, Layer.effectDiscard(background(options))).pipe(Layer.provide(egress(options)))

/**
 * Seals the secrets of all subscriptions again that an older key sealed. It belongs to every reseal: without it, a key that leaves the ring
 * takes the secrets with it. Returns how many were sealed again, and how many are left because no key of the ring opens them.
 */
export const reseal = Effect.gen(function* () {
  const { sql } = yield* database
  const secrets = makeSecrets(yield* CredentialVault)
  const rows = yield* sql`SELECT * FROM rekindle_webhook_subscriptions ORDER BY id`.pipe(
    Effect.flatMap(decodeReadable(SubscriptionRow))
  )
  const report = { resealed: 0, left: 0 }
  for (const row of rows) {
    const owner = { id: row.id, projectId: row.project_id }
    const sealed = yield* Effect.result(secrets.resealed(owner, row.secrets))
    if (sealed._tag === "Failure") report.left++
    else if (sealed.success !== undefined) {
      const written = yield* sql`UPDATE rekindle_webhook_subscriptions SET secrets = ${sealed.success}
        WHERE id = ${row.id} AND secrets = ${row.secrets} RETURNING id`
      if (written.length === 1) report.resealed++
      else report.left++
    }
  }
  return report
})
