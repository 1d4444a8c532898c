/**
 * The handlers of `webhook_subscriptions`, on `WebhookSubscriptions`.
 *
 * @module
 */
import { InvalidRequest } from "@rekindle/core"
import { DateTime, Effect, Redacted } from "effect"
import { HttpServerResponse } from "effect/http"
import { paged } from "../internal/page.ts"
import { makePublishedCalls } from "../internal/calls.ts"
import { webhookEventTypes } from "../WebhookEvents.ts"
import { type WebhookDelivery, type WebhookSubscription, WebhookSubscriptions } from "../WebhookSubscriptions.ts"
import type {
  CreateSubscription,
  DeliveriesQuery,
  PatchSubscription,
  ReplayPayload,
  ShownDelivery,
  ShownSubscription,
  SubscriptionsQuery
} from "./webhookSubscriptions.ts"

interface OfSubscription {
  readonly params: { readonly id: string }
}

const mask = "********"

/** The newest version is the default, as it is at the hosted service. */
const defaultVersion = "V3"

const optional = (time: DateTime.Utc | undefined): string | null =>
  time === undefined ? null : DateTime.formatIso(time)

const shown = (
  { createdAt, disabledAt, events, id, updatedAt, url, version }: WebhookSubscription,
  secret = mask
): typeof ShownSubscription.Encoded => ({
  id,
  webhook_url: url,
  version,
  enabled_events: events,
  secret,
  created_at: DateTime.formatIso(createdAt),
  updated_at: DateTime.formatIso(updatedAt),
  disabled_at: optional(disabledAt)
})

const shownDelivery = (delivery: WebhookDelivery): typeof ShownDelivery.Encoded => ({
  id: delivery.id,
  sequence: delivery.sequence,
  event_type: delivery.eventType,
  state: delivery.state,
  attempts: delivery.attempts,
  queued_at: DateTime.formatIso(delivery.queuedAt),
  attempted_at: optional(delivery.attemptedAt),
  answered: delivery.answered ?? null,
  error: delivery.error ?? null
})

/** The handlers. They answer alike in both versions. */
export const webhookSubscriptionsHandlers = Effect.gen(function* () {
  const subscriptions = yield* WebhookSubscriptions
  const { changing, reading } = yield* makePublishedCalls

  const list = Effect.fnUntraced(function* ({ query }: { readonly query: typeof SubscriptionsQuery.Type }) {
    const page = yield* paged(query, (page) => reading(subscriptions.list(page)), reading(subscriptions.count))
    return HttpServerResponse.jsonUnsafe({ ...page, items: page.items.map((item) => shown(item)) })
  })

  const create = Effect.fnUntraced(function* ({ payload }: { readonly payload: typeof CreateSubscription.Type }) {
    const { enabled_events: events, version = defaultVersion, webhook_url: url } = payload
    const { secret, ...subscription } = yield* changing(subscriptions.create({ events, url, version }))
    return HttpServerResponse.jsonUnsafe(shown(subscription, Redacted.value(secret)), { status: 201 })
  })

  const patch = Effect.fnUntraced(function* ({
    params: { id },
    payload
  }: OfSubscription & { readonly payload: typeof PatchSubscription.Type }) {
    const { enabled_events: events, version, webhook_url: url } = payload
    if (events === undefined && version === undefined && url === undefined) {
      return yield* new InvalidRequest({
        message: "The request changes nothing",
        slug: "invalid_body",
        errors: ["at least one of webhook_url, enabled_events and version is needed"]
      })
    }
    const changes = {
      ...(events !== undefined && { events }),
      ...(version !== undefined && { version }),
      ...(url !== undefined && { url })
    }
    return HttpServerResponse.jsonUnsafe(shown(yield* changing(subscriptions.update(id, changes))))
  })

  const rotateSecret = Effect.fnUntraced(function* ({ params }: OfSubscription) {
    const { id, secret } = yield* changing(subscriptions.rotateSecret(params.id))
    return HttpServerResponse.jsonUnsafe({ id, secret: Redacted.value(secret) })
  })

  const deliveries = Effect.fnUntraced(function* ({
    params: { id },
    query: { before = "", limit = "", state = "" }
  }: OfSubscription & { readonly query: typeof DeliveriesQuery.Type }) {
    const items = yield* reading(
      subscriptions.deliveries(id, {
        state: state === "" ? undefined : state,
        before: before === "" ? undefined : Number(before),
        limit: limit === "" ? undefined : Math.min(Number(limit), 500)
      })
    )
    return HttpServerResponse.jsonUnsafe({ items: items.map(shownDelivery) })
  })

  const replay = Effect.fnUntraced(function* ({
    params: { id },
    payload
  }: OfSubscription & { readonly payload: typeof ReplayPayload.Type | void }) {
    return HttpServerResponse.jsonUnsafe({ queued: yield* changing(subscriptions.replay(id, payload?.delivery_ids)) })
  })

  const types = HttpServerResponse.jsonUnsafe({
    items: webhookEventTypes.map(({ description, eventType, supportedVersions }) => ({
      event_type: eventType,
      description,
      supported_versions: supportedVersions
    }))
  })

  return {
    list,
    create,
    patch,
    rotateSecret,
    deliveries,
    replay,
    eventTypes: () => Effect.succeed(types),
    get: ({ params: { id } }: OfSubscription) =>
      Effect.map(reading(subscriptions.get(id)), (found) => HttpServerResponse.jsonUnsafe(shown(found))),
    remove: ({ params: { id } }: OfSubscription) =>
      Effect.as(changing(subscriptions.remove(id)), HttpServerResponse.jsonUnsafe({ success: true }))
  }
})
