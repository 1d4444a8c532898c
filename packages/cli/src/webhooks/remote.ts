/**
 * The webhook subscriptions of a server, through its routes.
 *
 * @module
 */
import { type ConnectionsError, TransportError, UnexpectedResponse } from "@rekindle/core"
import { RekindleApi, type WebhookDelivery, type WebhookSubscription, WebhookSubscriptions } from "@rekindle/platform"
import { DateTime, Effect, Layer, Redacted, type Schema } from "effect"
import { FetchHttpClient, HttpClient, type HttpClientError, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"

const outside = (status: number) =>
  new UnexpectedResponse({ message: "the server's answer is outside the contract", status, excerpt: "" })

/** The failures of the contract as they are, and what is none of them by what is known of it. */
const understood = <A>(
  effect: Effect.Effect<A, ConnectionsError | HttpClientError.HttpClientError | Schema.SchemaError>
): Effect.Effect<A, ConnectionsError> =>
  effect.pipe(
    Effect.catchTags({
      HttpClientError: (error): Effect.Effect<never, ConnectionsError> =>
        Effect.fail(
          error.response === undefined
            ? new TransportError({ message: "the server cannot be reached", reason: "unknown" })
            : outside(error.response.status)
        ),
      // What did not decode may be a secret.
      SchemaError: (): Effect.Effect<never, ConnectionsError> => Effect.fail(outside(200))
    })
  )

type Group = HttpApiClient.ForApi<typeof RekindleApi.ServiceApi>["webhook_subscriptions/v3.1"]
type Shown = Extract<Effect.Success<ReturnType<Group["get"]>>, { readonly webhook_url: string }>
type ShownDelivery = Extract<
  Effect.Success<ReturnType<Group["deliveries"]>>,
  { readonly items: ReadonlyArray<object> }
>["items"][number]

const time = (text: string | null): DateTime.Utc | undefined => (text === null ? undefined : DateTime.makeUnsafe(text))

const subscriptionOf = (shown: Shown): WebhookSubscription => ({
  id: shown.id,
  url: shown.webhook_url,
  version: shown.version,
  events: shown.enabled_events,
  createdAt: DateTime.makeUnsafe(shown.created_at),
  updatedAt: DateTime.makeUnsafe(shown.updated_at),
  disabledAt: time(shown.disabled_at)
})

const deliveryOf = (shown: ShownDelivery): WebhookDelivery => ({
  id: shown.id,
  sequence: shown.sequence,
  eventType: shown.event_type,
  state: shown.state,
  attempts: shown.attempts,
  queuedAt: DateTime.makeUnsafe(shown.queued_at),
  attemptedAt: time(shown.attempted_at),
  answered: shown.answered ?? undefined,
  error: shown.error ?? undefined
})

const make = Effect.fnUntraced(function* (server: string, key: Redacted.Redacted) {
  const client = yield* HttpApiClient.make(RekindleApi.ServiceApi, {
    baseUrl: server,
    transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-api-key", Redacted.value(key)))
  })
  const calls = client["webhook_subscriptions/v3.1"]
  const page = ({ cursor, limit }: { readonly cursor?: string | undefined; readonly limit?: number | undefined }) =>
    understood(
      calls.list({
        query: { ...(cursor !== undefined && { cursor }), ...(limit !== undefined && { limit: String(limit) }) }
      })
    )
  return WebhookSubscriptions.of({
    create: ({ events, url, version }) =>
      understood(calls.create({ payload: { webhook_url: url, enabled_events: events, version } })).pipe(
        Effect.map((shown) => ({ ...subscriptionOf(shown), secret: Redacted.make(shown.secret) }))
      ),
    get: (id) => Effect.map(understood(calls.get({ params: { id } })), subscriptionOf),
    list: (options = {}) =>
      Effect.map(page(options), ({ items, next_cursor }) => ({
        items: items.map(subscriptionOf),
        nextCursor: next_cursor ?? undefined
      })),
    count: Effect.map(page({ limit: 1 }), ({ total_items }) => total_items),
    update: (id, { events, url, version }) =>
      understood(
        calls.patch({
          params: { id },
          payload: {
            ...(url !== undefined && { webhook_url: url }),
            ...(events !== undefined && { enabled_events: events }),
            ...(version !== undefined && { version })
          }
        })
      ).pipe(Effect.map(subscriptionOf)),
    remove: (id) => Effect.asVoid(understood(calls.remove({ params: { id } }))),
    rotateSecret: (id) =>
      Effect.map(understood(calls.rotateSecret({ params: { id } })), ({ id, secret }) => ({
        id,
        secret: Redacted.make(secret)
      })),
    deliveries: (id, { before, limit, state } = {}) =>
      understood(
        calls.deliveries({
          params: { id },
          query: {
            ...(before !== undefined && { before: String(before) }),
            ...(limit !== undefined && { limit: String(limit) }),
            ...(state !== undefined && { state })
          }
        })
      ).pipe(Effect.map(({ items }) => items.map(deliveryOf))),
    replay: (id, ids) =>
      understood(calls.replay({ params: { id }, payload: ids === undefined ? undefined : { delivery_ids: ids } })).pipe(
        Effect.map(({ queued }) => queued)
      )
  })
})

/** The subscriptions of the project that the key is for. */
export const layer = (server: string, key: Redacted.Redacted): Layer.Layer<WebhookSubscriptions> =>
  Layer.effect(WebhookSubscriptions, make(server, key)).pipe(Layer.provide(FetchHttpClient.layer))
