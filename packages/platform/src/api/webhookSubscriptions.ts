/**
 * The contract of `webhook_subscriptions`, alike in both versions: the published calls, and two of ours, which list deliveries and queue them
 * again.
 *
 * @module
 */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiKeys } from "../ApiKeys.ts"
import { operation } from "../internal/openapi.ts"
import { pageOf } from "../internal/page.ts"
import { oneOf, page } from "../internal/query.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { accountErrors } from "./errors.ts"
import { ApiKeyAuth, RequestValidation } from "./middleware.ts"

const params = { id: Schema.String }

const Version = Schema.Literals(["V1", "V2", "V3"])

/** A subscription as it is shown. `disabled_at` is ours. */
export const ShownSubscription = Schema.Struct({
  id: Schema.String,
  webhook_url: Schema.String,
  version: Version,
  enabled_events: Schema.Array(Schema.String),
  secret: Schema.String,
  created_at: Schema.String,
  updated_at: Schema.String,
  disabled_at: Schema.NullOr(Schema.String)
}).pipe(Schema.annotate({ identifier: "WebhookSubscription" }))

export const CreateSubscription = Schema.Struct({
  webhook_url: Schema.String,
  enabled_events: Schema.Array(Schema.String),
  version: Schema.optionalKey(Version)
}).pipe(Schema.annotate({ identifier: "CreateWebhookSubscription" }))

export const PatchSubscription = Schema.Struct({
  webhook_url: Schema.optionalKey(Schema.String),
  enabled_events: Schema.optionalKey(Schema.Array(Schema.String)),
  version: Schema.optionalKey(Version)
}).pipe(Schema.annotate({ identifier: "PatchWebhookSubscription" }))

export const SubscriptionsQuery = Schema.Struct(page)

export const DeliveriesQuery = Schema.Struct({
  state: oneOf("pending", "delivered", "dead"),
  before: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^\d{0,15}$/u, { expected: "the sequence of a delivery" }))
  ),
  limit: page.limit
})

export const ShownDelivery = Schema.Struct({
  id: Schema.String,
  sequence: Schema.Int,
  event_type: Schema.String,
  state: Schema.Literals(["pending", "delivered", "dead"]),
  attempts: Schema.Int,
  queued_at: Schema.String,
  attempted_at: Schema.NullOr(Schema.String),
  answered: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.String)
}).pipe(Schema.annotate({ identifier: "WebhookDelivery" }))

export const ReplayPayload = Schema.Struct({
  delivery_ids: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMaxLength(500)))
}).pipe(Schema.annotate({ identifier: "ReplayWebhooks" }))

const documented = (
  summary: string,
  description: string,
  takesBody: boolean,
  answers: Readonly<Record<string, string>>
) => OpenApi.annotations({ summary, description, transform: operation({ takesBody, parameters: {}, answers }) })

const list = HttpApiEndpoint.get("list", "/webhook_subscriptions", {
  query: SubscriptionsQuery,
  success: pageOf(ShownSubscription),
  error: accountErrors
}).annotateMerge(
  documented("List webhook subscriptions", "Oldest first. Secrets are masked.", false, {
    "200": "A page of subscriptions"
  })
)

const create = HttpApiEndpoint.post("create", "/webhook_subscriptions", {
  payload: CreateSubscription,
  success: ShownSubscription.pipe(HttpApiSchema.status(201)),
  error: accountErrors
}).annotateMerge(
  documented(
    "Create a webhook subscription",
    "The address has to be https and on the public internet. The answer shows the secret, and no later one does.",
    true,
    { "201": "The subscription, with its secret" }
  )
)

const eventTypes = HttpApiEndpoint.get("eventTypes", "/webhook_subscriptions/event_types", {
  success: Schema.Struct({
    items: Schema.Array(
      Schema.Struct({
        event_type: Schema.String,
        description: Schema.String,
        supported_versions: Schema.Array(Version)
      })
    )
  }),
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("read"))
  .annotateMerge(documented("List event types", "What a subscription can name.", false, { "200": "The types" }))

const get = HttpApiEndpoint.get("get", "/webhook_subscriptions/:id", {
  params,
  success: ShownSubscription,
  error: accountErrors
}).annotateMerge(
  documented("Get a webhook subscription", "Its secret is masked.", false, { "200": "The subscription" })
)

const patch = HttpApiEndpoint.patch("patch", "/webhook_subscriptions/:id", {
  params,
  payload: PatchSubscription,
  success: ShownSubscription,
  error: accountErrors
}).annotateMerge(
  documented(
    "Change a webhook subscription",
    "At least one field. It also starts deliveries again that a 410 of the endpoint had ended.",
    true,
    { "200": "The subscription" }
  )
)

const remove = HttpApiEndpoint.delete("remove", "/webhook_subscriptions/:id", {
  params,
  success: Schema.Struct({ success: Schema.Boolean }),
  error: accountErrors
}).annotateMerge(
  documented("Delete a webhook subscription", "Erases it with its deliveries.", false, { "200": "It is erased" })
)

const rotateSecret = HttpApiEndpoint.post("rotateSecret", "/webhook_subscriptions/:id/rotate_secret", {
  params,
  success: Schema.Struct({ id: Schema.String, secret: Schema.String }),
  error: accountErrors
}).annotateMerge(
  documented(
    "Rotate the secret of a webhook subscription",
    "For a day deliveries are signed with the earlier secret too.",
    false,
    { "200": "The new secret" }
  )
)

const deliveries = HttpApiEndpoint.get("deliveries", "/webhook_subscriptions/:id/deliveries", {
  params,
  query: DeliveriesQuery,
  success: Schema.Struct({ items: Schema.Array(ShownDelivery) }),
  error: accountErrors
}).annotateMerge(
  documented("List deliveries", "Newest first, before a sequence if one is given.", false, { "200": "The deliveries" })
)

const replay = HttpApiEndpoint.post("replay", "/webhook_subscriptions/:id/replay", {
  params,
  payload: [ReplayPayload, HttpApiSchema.NoContent],
  success: Schema.Struct({ queued: Schema.Int }),
  error: accountErrors
}).annotateMerge(
  documented(
    "Deliver again",
    "Queues the deliveries with the given ids, or all dead ones. They keep their ids.",
    true,
    { "200": "How many are queued" }
  )
)

const group = <const V extends ApiVersion>(version: V) =>
  HttpApiGroup.make(`webhook_subscriptions/${version}`)
    .add(list, create, eventTypes, get, patch, remove, rotateSecret, deliveries, replay)
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    .annotateMerge(OpenApi.annotations({ title: `Webhook subscriptions ${version}` }))

export const webhookSubscriptionsV3 = group("v3")
export const webhookSubscriptionsV31 = group("v3.1")
