/**
 * Takes events from the outbox into the queue: one delivery for each subscription that names the event's type.
 *
 * The outbox is only read. Its events go when they are a month old, because others read it too (`Connections.events`). How far it was read is
 * one row, and moves in the transaction that queues the deliveries. So several processes may do this at once, and each event is queued once.
 *
 * @module
 */
import { ConnectedAccounts, CurrentProject, type ConnectedAccount } from "@rekindle/core"
import { AccountStore, type OutboxEvent } from "@rekindle/engine"
import { WebhookEvents } from "@rekindle/platform"
import { Array as Arr, Clock, DateTime, Effect } from "effect"
import { createHash } from "node:crypto"
import type { Queue, Queued } from "./queue.ts"
import type { SubscriptionRow } from "./rows.ts"

/** The number of events that are taken at once. */
const batch = 200

/** How many accounts are read at once. */
const readAtOnce = 16

/** How long an account that cannot be read holds up the events behind its own, in milliseconds. */
const patience = 60_000

/**
 * The id of an event: derived from what it says, so it is the same in every attempt, for every endpoint, and after a restored backup. The
 * sequence alone would not do, because a restored database gives it to another event.
 */
const messageIdOf = ({ accountId, at, generation, projectId, sequence, type }: OutboxEvent): string =>
  `msg_${createHash("sha256")
    .update(JSON.stringify([projectId, accountId, sequence, type, generation, at]))
    .digest("base64url")
    .slice(0, 32)}`

const isFor = (event: OutboxEvent, subscription: SubscriptionRow): boolean =>
  subscription.project_id === event.projectId &&
  subscription.version === "V3" &&
  subscription.events.includes(WebhookEvents.eventTypeOf(event.type)) &&
  // A subscription is for events from its creation on.
  subscription.created_at <= event.at

type Read = ConnectedAccount | "removed" | "unreadable"

/** Makes the effect that queues the deliveries of new events, until there are no more. */
export const makeIntake = (queue: Queue) =>
  Effect.gen(function* () {
    const store = yield* AccountStore
    const accounts = yield* ConnectedAccounts
    /** The event whose account could not be read, and when that was first seen. */
    let stuck: { readonly sequence: number; readonly since: number } | undefined

    const read = ({ accountId, projectId }: OutboxEvent): Effect.Effect<Read> =>
      accounts.get(accountId).pipe(
        Effect.provideService(CurrentProject, projectId),
        Effect.catch((error): Effect.Effect<Read> =>
          Effect.succeed(error._tag === "AccountNotFound" ? "removed" : "unreadable")
        )
      )

    const deliveriesOf = Effect.fnUntraced(function* (
      event: OutboxEvent,
      account: Read,
      subscriptions: ReadonlyArray<SubscriptionRow>
    ) {
      const id = messageIdOf(event)
      const body = yield* WebhookEvents.webhookBody({
        id,
        projectId: event.projectId,
        event: { ...event, at: DateTime.makeUnsafe(event.at) },
        account: typeof account === "string" ? undefined : account
      })
      if (body === undefined) {
        yield* Effect.logWarning("an expired account was removed before its webhook was queued; it is not sent", {
          account: event.accountId
        })
        return []
      }
      return subscriptions.map(({ id: subscriptionId }): Queued => ({
        subscriptionId,
        sequence: event.sequence,
        messageId: id,
        eventType: WebhookEvents.eventTypeOf(event.type),
        body
      }))
    })

    /** Whether an event whose account cannot be read is queued without it. Before, the store gets time to come back. */
    const isPatienceOver = (sequence: number, now: number): boolean => {
      if (stuck?.sequence !== sequence) stuck = { sequence, since: now }
      return now - stuck.since >= patience
    }

    /** Queues one batch. Returns whether there is more. */
    const step = Effect.gen(function* () {
      const from = yield* queue.through
      const { items, next } = yield* store.readOutbox(from, batch)
      const last = next?.sequence ?? items.at(-1)?.sequence
      if (last === undefined) return false
      const forgotten = yield* store.forgottenThrough
      if (from > 0 && forgotten > from) {
        yield* Effect.logError("events were deleted before their webhooks were queued", {
          after: from,
          through: forgotten
        })
      }
      const now = yield* Clock.currentTimeMillis
      const subscriptions = yield* queue.subscribers(Arr.dedupe(items.map(({ projectId }) => projectId)))
      const wanted = items.flatMap((event) => {
        const its = subscriptions.filter((subscription) => isFor(event, subscription))
        return its.length === 0 ? [] : [{ event, its }]
      })
      const known = yield* Effect.forEach(wanted, ({ event }) => read(event), { concurrency: readAtOnce })
      const deliveries: Array<Queued> = []
      let to = last
      for (const [index, { event, its }] of wanted.entries()) {
        const account = known[index] ?? "unreadable"
        if (account === "unreadable" && !isPatienceOver(event.sequence, now)) {
          // The events before it are queued.
          to = event.sequence - 1
          break
        }
        deliveries.push(...(yield* deliveriesOf(event, account, its)))
      }
      if (to <= from) return false
      return (yield* queue.queue({ from, to, now, deliveries })) && next !== undefined && to === last
    })

    return Effect.repeat(step, { while: (more) => more })
  })
