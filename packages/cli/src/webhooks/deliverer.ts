/**
 * Sends what the queue holds: claims endpoints, and sends to each of them one event after the other.
 *
 * Each claimed endpoint has a fiber of its own, so a slow one holds up no other. Endpoints that failed last have places of their own, so any
 * number of dead ones leaves the others theirs.
 *
 * @module
 */
import { CredentialVault, Egress } from "@rekindle/engine"
import { Clock, Duration, Effect, FiberSet, Metric, Random, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import { backoff, giveUpAfter } from "./backoff.ts"
import type { Attempt, PendingRow, Queue } from "./queue.ts"
import { asFailure, type SubscriptionRow } from "./rows.ts"
import { makeSecrets } from "./secrets.ts"
import { makeSend } from "./sending.ts"

/** How long an attempt may take, from connecting to the end of the answer. */
export const attemptTimeout = Duration.seconds(10)

/** A lease lasts longer than an attempt and its writes. Another process takes over after it. */
const leaseMillis = 30_000

/** How many endpoints a process sends to at once. */
const places = { working: 200, failing: 50 }

/** How many deliveries of an endpoint are read at once. */
const batch = 20

const attempts = Metric.counter("rekindle.webhooks.attempts", {
  description: "Attempts to deliver an event, by outcome",
  incremental: true
})
const given = Metric.counter("rekindle.webhooks.dead", {
  description: "Deliveries that were given up",
  incremental: true
})

/** Makes the effect that claims endpoints, as many as there are places, and starts to send to them. The scope ends what it started. */
export const makeDeliverer = (queue: Queue) =>
  Effect.gen(function* (): Effect.fn.Return<Effect.Effect<void>, never, CredentialVault | Egress | Scope.Scope> {
    const send = makeSend(yield* Egress)
    const secrets = makeSecrets(yield* CredentialVault)
    const fibers = yield* FiberSet.make<void>()
    const owner = randomUUID()
    const running = { working: 0, failing: 0 }

    /** Attempts one delivery and writes the result. Returns whether the next one may follow. */
    const attempt = Effect.fnUntraced(function* (subscription: SubscriptionRow, lease: string, pending: PendingRow) {
      const signing = yield* secrets.signing(
        { id: subscription.id, projectId: subscription.project_id },
        subscription.secrets,
        yield* Clock.currentTimeMillis
      )
      const sent = yield* send(subscription, pending, signing)
      yield* Metric.update(Metric.withAttributes(attempts, { outcome: sent._tag }), 1)
      const now = yield* Clock.currentTimeMillis
      const made: Attempt = {
        subscription,
        owner: lease,
        sequence: pending.sequence,
        now,
        answered: sent.answered,
        error: sent._tag === "Delivered" ? null : sent.error
      }
      const about = { subscription: subscription.id, error: made.error }
      if (sent._tag === "Delivered") {
        if (subscription.failures > 0) yield* Effect.logInfo("a webhook endpoint works again", about)
        return yield* queue.delivered(made, leaseMillis)
      }
      if (sent._tag === "Gone") {
        yield* Metric.update(given, yield* queue.gone(made))
        yield* Effect.logWarning("a webhook endpoint answered 410 and gets nothing more", about)
        return false
      }
      if (subscription.failures === 0) yield* Effect.logWarning("a webhook endpoint failed; it is tried again", about)
      const dead = yield* queue.failed(made, {
        waitMillis: backoff(subscription.failures + 1, yield* Random.next, sent.retryAfter),
        queuedUntil: now - Duration.toMillis(giveUpAfter)
      })
      yield* Metric.update(given, dead)
      if (dead > 0) yield* Effect.logError("webhooks were given up after a day", { ...about, deliveries: dead })
      return false
    })

    /** Sends to an endpoint until nothing waits, it fails, or somebody changes it. A stop of the process lets an attempt end. */
    const drain = (subscription: SubscriptionRow, lease: string) =>
      Effect.gen(function* () {
        let row = subscription
        while (true) {
          const waiting = yield* queue.pending(subscription.id, batch)
          if (waiting.length === 0) return
          for (const pending of waiting) {
            if (!(yield* Effect.uninterruptible(attempt(row, lease, pending)))) return
            row = { ...row, failures: 0 }
          }
        }
      }).pipe(Effect.ensuring(Effect.ignore(asFailure(queue.release(subscription.id, lease)))))

    const startOf = (kind: keyof typeof places) =>
      Effect.gen(function* () {
        const limit = places[kind] - running[kind]
        if (limit <= 0) return
        const lease = `${owner}/${randomUUID()}`
        const claimed = yield* queue.claim({
          failing: kind === "failing",
          limit,
          leaseMillis,
          now: yield* Clock.currentTimeMillis,
          owner: lease
        })
        for (const subscription of claimed) {
          running[kind]++
          yield* drain(subscription, lease).pipe(
            asFailure,
            Effect.catchCause((cause) =>
              Effect.logWarning("deliveries to a webhook endpoint stopped; they are taken up again", cause, {
                subscription: subscription.id
              })
            ),
            Effect.ensuring(Effect.sync(() => running[kind]--)),
            FiberSet.run(fibers)
          )
        }
      }).pipe(
        asFailure,
        Effect.catch((error) => Effect.logWarning("webhook endpoints could not be claimed", error))
      )

    return Effect.andThen(startOf("working"), startOf("failing"))
  })
