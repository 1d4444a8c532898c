/**
 * The events of connected accounts as webhooks: their types, and the body of each.
 *
 * `composio.connected_account.expired` has the published V3 form, so receivers of the hosted service read it unchanged. The other events have
 * the same envelope, and types of their own.
 *
 * @module
 */
import {
  type ConnectedAccount,
  ConnectedAccountStatus,
  type ConnectionEvent,
  type ConnectionEventType,
  InvalidRequest
} from "@rekindle/core"
import { DateTime, Effect, Schema } from "effect"
import { published } from "./internal/published.ts"

/** The version of a webhook's body. Events of connected accounts exist as V3 only. */
export type WebhookVersion = "V1" | "V2" | "V3"

/** A type of event that a subscription can name. */
export interface WebhookEventType {
  readonly eventType: string
  readonly description: string
  readonly supportedVersions: ReadonlyArray<WebhookVersion>
}

/** The published type of an expired account. */
export const expiredEventType = "composio.connected_account.expired"

/** The type of an event on the wire. */
export const eventTypeOf = (type: ConnectionEventType): string =>
  type === "expired" ? expiredEventType : `rekindle.connected_account.${type}`

const descriptions: Readonly<Record<ConnectionEventType, string>> = {
  renewed: "The account has a new credential, renewed without a person",
  expiring: "The account cannot be renewed any more, and works to the end of its access token. A person has to consent",
  expired: "The account does not work any more. A person has to consent",
  recovered: "The account works again after it had expired",
  consent_started: "A person was sent to the provider to consent",
  consent_completed: "A person has consented, and the account is in service",
  identity_mismatch: "Somebody else gave a consent for the account. It was refused, and the account is unchanged"
}

const typesOfConnectionEvents: ReadonlyArray<ConnectionEventType> = [
  "expired",
  "expiring",
  "renewed",
  "recovered",
  "consent_started",
  "consent_completed",
  "identity_mismatch"
]

/**
 * The types that a subscription may name. Those of triggers are published, so subscriptions of the hosted service name them, and the official
 * SDK does so by default. This server has no triggers and sends none of them.
 */
export const webhookEventTypes: ReadonlyArray<WebhookEventType> = [
  ...typesOfConnectionEvents.map((type): WebhookEventType => ({
    eventType: eventTypeOf(type),
    description: descriptions[type],
    supportedVersions: ["V3"]
  })),
  {
    eventType: "composio.trigger.message",
    description: "Accepted for subscriptions of the hosted service. This server has no triggers and never sends it",
    supportedVersions: ["V1", "V2", "V3"]
  },
  {
    eventType: "composio.trigger.disabled",
    description: "Accepted for subscriptions of the hosted service. This server has no triggers and never sends it",
    supportedVersions: ["V3"]
  }
]

/**
 * Checks the types of a subscription. Fails with the slug `unknown_event_type` or, for a type that does not exist in the version,
 * `unsupported_version`. An unknown type is named by its place, because it could be anything.
 */
export const check = Effect.fnUntraced(function* (events: ReadonlyArray<string>, version: WebhookVersion) {
  const unknown = events.flatMap((type, at) =>
    webhookEventTypes.some(({ eventType }) => eventType === type) ? [] : [at]
  )
  if (events.length === 0 || unknown.length > 0) {
    return yield* new InvalidRequest({
      message: "a subscription names no event type, or one that does not exist",
      slug: "unknown_event_type",
      errors: unknown.map((at) => `enabled_events[${at}]: not one of those that event_types lists`)
    })
  }
  const others = webhookEventTypes.filter(
    ({ eventType, supportedVersions }) => events.includes(eventType) && !supportedVersions.includes(version)
  )
  if (others.length > 0) {
    return yield* new InvalidRequest({
      message: `an event type does not exist in version ${version}`,
      slug: "unsupported_version",
      errors: others.map(({ eventType, supportedVersions }) => `${eventType}: ${supportedVersions.join(", ")}`)
    })
  }
})

const statusOf = Schema.decodeSync(ConnectedAccountStatus)

/** An event to send. */
export interface WebhookMessage {
  /** The same in every attempt, in the header `webhook-id` and in the body. */
  readonly id: string
  readonly projectId: string
  readonly event: ConnectionEvent
  /** The account now. Undefined if it was removed since. */
  readonly account: ConnectedAccount | undefined
}

/**
 * The body of an event, as JSON. Its `data` are the account as `GET /api/v3/connected_accounts/{id}` answers it, with the status that it had
 * when the event happened. Secrets are masked.
 *
 * An account that was removed since has only its id and that status. The published form cannot be given for it, and nobody can reconnect it,
 * so the result is undefined there.
 */
export const webhookBody = Effect.fnUntraced(function* ({ account, event, id, projectId }: WebhookMessage) {
  if (account === undefined && event.type === "expired") return undefined
  const then = { status: event.status, status_reason: event.statusReason }
  const data =
    account === undefined
      ? { id: event.accountId, ...then }
      : yield* published({ ...account, status: statusOf(event.status), statusReason: event.statusReason }, "v3")
  return JSON.stringify({
    id,
    timestamp: DateTime.formatIso(event.at),
    type: eventTypeOf(event.type),
    // The published form requires the id of an organization. A server of your own has projects only.
    metadata: { project_id: projectId, org_id: projectId, sequence: event.sequence },
    data
  })
})
