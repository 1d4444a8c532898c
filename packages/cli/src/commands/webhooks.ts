/**
 * `rekindle webhooks`: who is told what happens to accounts, and what became of each delivery.
 *
 * @module
 */
import { CurrentProject } from "@rekindle/core"
import { type WebhookDelivery, WebhookEvents, type WebhookSubscription, WebhookSubscriptions } from "@rekindle/platform"
import { DateTime, Effect, Layer, Option, Redacted, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { migrate } from "../store/migrations.ts"
import * as KeyRing from "../store/KeyRing.ts"
import * as Remote from "../webhooks/remote.ts"
import * as Webhooks from "../webhooks/Webhooks.ts"
import * as Output from "./output.ts"
import * as Target from "./target.ts"

const layer = (flags: Target.Flags) =>
  Layer.unwrap(
    Effect.map(Target.resolve(flags), (target) =>
      target._tag === "Remote"
        ? Remote.layer(target.server, target.key)
        : Webhooks.layerSubscriptions({ privateHosts: target.settings.webhookPrivateHosts }).pipe(
            Layer.provide(Layer.effectDiscard(migrate)),
            Layer.provide(Target.sqlClient(target)),
            Layer.provide(
              KeyRing.layer({ database: target.database, keyFile: target.settings.keyFile, create: false })
            ),
            Layer.merge(Layer.succeed(CurrentProject, target.project))
          )
    )
  ).pipe(Layer.provideMerge(Target.quiet))

const optional = (time: DateTime.Utc | undefined) => (time === undefined ? null : DateTime.formatIso(time))

const json = ({ createdAt, disabledAt, events, id, updatedAt, url, version }: WebhookSubscription) => ({
  id,
  webhook_url: url,
  version,
  enabled_events: events,
  created_at: DateTime.formatIso(createdAt),
  updated_at: DateTime.formatIso(updatedAt),
  disabled_at: optional(disabledAt)
})

const jsonOfDelivery = (delivery: WebhookDelivery) => ({
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

const columns: ReadonlyArray<Output.Column<WebhookSubscription>> = [
  { title: "id", of: ({ id }) => id },
  { title: "address", of: ({ url }) => url },
  { title: "events", of: ({ events }) => events.join(",") },
  { title: "created", of: ({ createdAt }) => DateTime.formatIso(createdAt) },
  { title: "disabled", of: ({ disabledAt }) => optional(disabledAt) }
]

const deliveryColumns: ReadonlyArray<Output.Column<WebhookDelivery>> = [
  { title: "sequence", of: ({ sequence }) => sequence },
  { title: "id", of: ({ id }) => id },
  { title: "event", of: ({ eventType }) => eventType },
  { title: "state", of: ({ state }) => state },
  { title: "attempts", of: ({ attempts }) => attempts },
  { title: "last attempt", of: ({ attemptedAt }) => optional(attemptedAt) },
  { title: "answered", of: ({ answered }) => answered },
  { title: "error", of: ({ error }) => error }
]

const id = Argument.String("id").pipe(Argument.withDescription("The subscription's id, such as whs_4CkFF_cKATwg"))

const list = Command.make("list", { target: Target.flags }, ({ target }) =>
  Effect.gen(function* () {
    const { list } = yield* WebhookSubscriptions
    const items = yield* Stream.runCollect(
      Stream.paginate(undefined, (cursor: string | undefined) =>
        Effect.map(list({ cursor }), ({ items, nextCursor }) => [
          items,
          nextCursor === undefined ? Option.none() : Option.some(nextCursor)
        ])
      )
    )
    yield* Output.list({ json: { items: items.map(json) }, items, columns, none: "There are no subscriptions." })
  }).pipe(Effect.provide(layer(target)))
).pipe(Command.withDescription("Lists webhook subscriptions, without their secrets"))

/** The types that this server sends. After the first two of them a person has to act. */
const types = WebhookEvents.webhookEventTypes
  .map(({ eventType }) => eventType)
  .filter((type) => !type.startsWith("composio.trigger."))

const create = Command.make(
  "create",
  {
    target: Target.flags,
    url: Argument.String("url").pipe(Argument.withDescription("The https address to send events to")),
    event: Flag.String("event").pipe(
      Flag.withDescription(`A type of event; may be repeated: ${types.join(", ")}. Default: the first two`),
      Flag.atLeast(0)
    )
  },
  ({ event, target, url }) =>
    Effect.gen(function* () {
      const events = event.length === 0 ? types.slice(0, 2) : event
      const made = yield* WebhookSubscriptions.use(({ create }) => create({ url, events, version: "V3" }))
      yield* Output.note(`${made.id} gets ${made.events.join(", ")}. The secret is shown this once:`)
      yield* Output.print({ ...json(made), secret: Redacted.value(made.secret) }, Redacted.value(made.secret))
    }).pipe(Effect.provide(layer(target)))
).pipe(Command.withDescription("Subscribes an address to events, and prints the secret that signs them, once"))

const remove = Command.make("remove", { target: Target.flags, id, yes: Output.yes }, ({ id, target, yes }) =>
  Effect.gen(function* () {
    yield* Output.confirm(`Delete ${id} with its deliveries?`, { yes })
    yield* WebhookSubscriptions.use(({ remove }) => remove(id))
    yield* Output.print({ id }, `${id} is deleted`)
  }).pipe(Effect.provide(layer(target)))
).pipe(Command.withDescription("Deletes a subscription with its secrets and deliveries"))

const rotate = Command.make("rotate", { target: Target.flags, id }, ({ id, target }) =>
  Effect.gen(function* () {
    const rotated = yield* WebhookSubscriptions.use(({ rotateSecret }) => rotateSecret(id))
    const secret = Redacted.value(rotated.secret)
    yield* Output.note("For a day deliveries are signed with the earlier secret too. The new one is shown this once:")
    yield* Output.print({ id: rotated.id, secret }, secret)
  }).pipe(Effect.provide(layer(target)))
).pipe(Command.withDescription("Makes a new secret for a subscription, and prints it, once"))

const deliveries = Command.make(
  "deliveries",
  {
    target: Target.flags,
    id,
    state: Flag.Literals("state", ["pending", "delivered", "dead"]).pipe(
      Flag.withDescription("Only deliveries in this state. Default: all"),
      Flag.optional
    ),
    limit: Output.limit("How many"),
    before: Flag.Int("before").pipe(
      Flag.withDescription("Only deliveries with a smaller sequence. Default: the newest come first"),
      Flag.optional
    )
  },
  ({ before, id, limit, state, target }) =>
    Effect.gen(function* () {
      const filter = { state: Option.getOrUndefined(state), limit, before: Option.getOrUndefined(before) }
      const items = yield* WebhookSubscriptions.use(({ deliveries }) => deliveries(id, filter))
      yield* Output.list({
        json: { items: items.map(jsonOfDelivery) },
        items,
        columns: deliveryColumns,
        none: "There are no deliveries."
      })
    }).pipe(Effect.provide(layer(target)))
).pipe(
  Command.withDescription(
    "Lists the deliveries of a subscription, the newest first. Delivered ones are kept for a day, dead ones for 30 days"
  ),
  Command.withShortDescription("Lists the deliveries of a subscription")
)

const replay = Command.make(
  "replay",
  {
    target: Target.flags,
    id,
    delivery: Argument.String("delivery").pipe(
      Argument.withDescription("The ids of deliveries. Default: all dead ones"),
      Argument.atLeast(0)
    )
  },
  ({ delivery, id, target }) =>
    Effect.gen(function* () {
      const queued = yield* WebhookSubscriptions.use(({ replay }) =>
        replay(id, delivery.length === 0 ? undefined : delivery)
      )
      yield* Output.print({ queued }, `${queued} ${queued === 1 ? "delivery is" : "deliveries are"} queued again`)
    }).pipe(Effect.provide(layer(target)))
).pipe(
  Command.withDescription(
    "Queues deliveries again, with their old ids. It also starts deliveries again that a 410 of the endpoint had ended"
  ),
  Command.withShortDescription("Queues deliveries again")
)

export const webhooks = Command.make("webhooks").pipe(
  Command.withDescription("Webhooks: who is told what happens to accounts, and what became of it"),
  Command.withSubcommands([list, create, remove, rotate, deliveries, replay])
)
