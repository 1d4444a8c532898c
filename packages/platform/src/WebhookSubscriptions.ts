/**
 * Webhook subscriptions: endpoints of applications that are told what happens to connected accounts.
 *
 * It is a service, because a server decides how events are queued and sent. The published routes of `webhook_subscriptions` require it. What a
 * delivery contains is in `WebhookEvents`.
 *
 * @module
 */
import { AccountNotFound, type ConnectionsError, InvalidRequest, type Page, type PageOptions } from "@rekindle/core"
import { Context, type DateTime, type Effect, type Redacted } from "effect"
import type { WebhookVersion } from "./WebhookEvents.ts"

/** A subscription, without its secret. */
export interface WebhookSubscription {
  readonly id: string
  /** The address that events are sent to. */
  readonly url: string
  readonly version: WebhookVersion
  /** The types of events that are sent. */
  readonly events: ReadonlyArray<string>
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
  /** When the endpoint answered 410, which ends its deliveries. A change of the subscription or a replay starts them again. */
  readonly disabledAt: DateTime.Utc | undefined
}

/** The settings of a subscription. */
export interface WebhookSettings {
  /** An https address on the public internet. */
  readonly url: string
  /** The types of events to send: those of `WebhookEvents.webhookEventTypes`. */
  readonly events: ReadonlyArray<string>
  /** Events of connected accounts need V3. */
  readonly version: WebhookVersion
}

/** A secret that signs deliveries. It is shown once. */
export interface WebhookSecret {
  readonly id: string
  /** `whsec_` and the key in base64 (Standard Webhooks). */
  readonly secret: Redacted.Redacted<string>
}

/**
 * `pending`: it waits, or is tried again later. `delivered`: the endpoint answered 2xx. `dead`: it was given up after a day, or the endpoint
 * answered 410.
 */
export type WebhookDeliveryState = "pending" | "delivered" | "dead"

/** One event for one subscription. */
export interface WebhookDelivery {
  /** The `webhook-id`, the same in every attempt. */
  readonly id: string
  /** Its place in the order of events. */
  readonly sequence: number
  readonly eventType: string
  readonly state: WebhookDeliveryState
  readonly attempts: number
  /** When it was queued. It is given up a day later. */
  readonly queuedAt: DateTime.Utc
  readonly attemptedAt: DateTime.Utc | undefined
  /** The status that the endpoint answered last. */
  readonly answered: number | undefined
  /** Why the last attempt failed. */
  readonly error: string | undefined
}

/** Selects deliveries of a subscription. */
export interface WebhookDeliveryFilter {
  readonly state?: WebhookDeliveryState | undefined
  /** Deliveries with a smaller sequence than this one. Default: the newest come first. */
  readonly before?: number | undefined
  /** 1 to 500. Default 50. */
  readonly limit?: number | undefined
}

/**
 * The subscriptions of the current project. A call for one that the project does not have fails with `AccountNotFound` and the slug
 * `webhook_subscription_not_found`. A provider that is itself a client of a server fails as clients do.
 */
export class WebhookSubscriptions extends Context.Service<
  WebhookSubscriptions,
  {
    /**
     * Adds a subscription for events from now on. Fails with `InvalidRequest` if the address is not public https (slug
     * `webhook_url_refused`), a type is unknown (`unknown_event_type`), or does not exist in the version (`unsupported_version`).
     */
    readonly create: (settings: WebhookSettings) => Effect.Effect<WebhookSubscription & WebhookSecret, ConnectionsError>
    readonly get: (id: string) => Effect.Effect<WebhookSubscription, ConnectionsError>
    /** Oldest first. */
    readonly list: (options?: PageOptions) => Effect.Effect<Page<WebhookSubscription>, ConnectionsError>
    readonly count: Effect.Effect<number, ConnectionsError>
    /** Changes what is given. It also starts the deliveries again if they had ended. */
    readonly update: (
      id: string,
      changes: Partial<WebhookSettings>
    ) => Effect.Effect<WebhookSubscription, ConnectionsError>
    /** Erases the subscription with its secrets and deliveries. */
    readonly remove: (id: string) => Effect.Effect<void, ConnectionsError>
    /** Makes a new secret. For a day deliveries are signed with the earlier ones too. */
    readonly rotateSecret: (id: string) => Effect.Effect<WebhookSecret, ConnectionsError>
    /** Newest first. Delivered ones are kept for a day, dead ones for 30 days. */
    readonly deliveries: (
      id: string,
      filter?: WebhookDeliveryFilter
    ) => Effect.Effect<ReadonlyArray<WebhookDelivery>, ConnectionsError>
    /**
     * Queues deliveries again: those with the given ids, or all dead ones. They keep their ids, and come in their old order before newer
     * events. Deliveries start again if they had ended. Returns how many were queued.
     */
    readonly replay: (id: string, deliveryIds?: ReadonlyArray<string>) => Effect.Effect<number, ConnectionsError>
  }
>()("@rekindle/platform/WebhookSubscriptions") {
  /** The failure of every provider for an id that the project has no subscription of. */
  static readonly notFound = (): AccountNotFound =>
    new AccountNotFound({ message: "no such webhook subscription", slug: "webhook_subscription_not_found" })

  /** The failure of every provider for an address that it would not send to. `why` holds no secret of the address. */
  static readonly refusedUrl = (why: string): InvalidRequest =>
    new InvalidRequest({
      message: "events cannot be sent to this address",
      slug: "webhook_url_refused",
      suggestedFix: "Use an https address on the public internet",
      errors: [why]
    })
}
