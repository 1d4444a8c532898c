/**
 * What policies do, as a subscription: for a dashboard, an audit log, a test.
 *
 * Nothing is built or published unless {@link layerEvents} is provided where the pipeline is made; without it an event costs one
 * comparison. The buffer slides: a subscriber that falls behind loses the oldest events, and never slows a refresh.
 *
 * @module
 */
import { Context, Effect, Layer, PubSub, Stream } from "effect"
import type { ConnectedAccountId, ConnectedAccountStatus } from "../ConnectedAccount.ts"
import type { RefreshError } from "../RefreshError.ts"

/** Something a policy did. Durations are milliseconds. Nothing secret is in any of them. */
export type PolicyEvent =
  | {
      /** A failed try will be followed by another after `delay`. */
      readonly _tag: "RetryScheduled"
      readonly accountId: ConnectedAccountId
      readonly attempt: number
      readonly delay: number
      readonly error: RefreshError["_tag"]
      readonly disposition: RefreshError["disposition"]
    }
  | {
      /** A failure that may be repeated was not: no attempts, no budget or no time left. */
      readonly _tag: "RetryRefused"
      readonly accountId: ConnectedAccountId
      readonly attempt: number
      readonly reason: "attempts" | "budget" | "deadline"
    }
  | {
      /** An ambiguous attempt was looked into. */
      readonly _tag: "Reconciled"
      readonly accountId: ConnectedAccountId
      readonly result: "moved" | "unmoved" | "unknown"
      readonly status?: ConnectedAccountStatus
    }
  | {
      readonly _tag: "CircuitChanged"
      readonly key: string
      readonly from: "Closed" | "Open" | "HalfOpen"
      readonly to: "Closed" | "Open" | "HalfOpen"
    }
  | {
      /** A local limit kept a call from being sent. */
      readonly _tag: "Refused"
      readonly accountId: ConnectedAccountId
      readonly reason: "circuit-open" | "queue-full" | "rate-limited"
    }
  | {
      /** A call joined a flight that another had started. */
      readonly _tag: "FlightJoined"
      readonly accountId: ConnectedAccountId
    }
  | {
      readonly _tag: "DeadlinePassed"
      readonly accountId: ConnectedAccountId
      readonly policy: "deadline" | "attempt-timeout"
      readonly timeout: number
    }
  | {
      readonly _tag: "FallbackServed"
      readonly accountId: ConnectedAccountId
      readonly error: RefreshError["_tag"]
    }

/** Where policies publish and listeners subscribe. */
export class EventBus {
  readonly #pubsub: PubSub.PubSub<PolicyEvent>
  constructor(pubsub: PubSub.PubSub<PolicyEvent>) {
    this.#pubsub = pubsub
  }
  /** Publishes without waiting; a full buffer drops its oldest event. */
  publish(event: PolicyEvent): void {
    // `publishUnsafe` would drop the newest; publishing to a sliding hub never waits.
    Effect.runSync(PubSub.publish(this.#pubsub, event))
  }
  /** Every event from the moment of subscription on. */
  get stream(): Stream.Stream<PolicyEvent> {
    return Stream.fromPubSub(this.#pubsub)
  }
  /** A subscription that is in place when this effect returns. */
  get subscribe() {
    return PubSub.subscribe(this.#pubsub)
  }
}

/**
 * The bus in force, or `undefined` when nobody asked for one. Policies read it when they are made.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience, TransportError } from "@rekindle/core"
 * import { Effect, Layer, PubSub } from "effect"
 *
 * let sends = 0
 * const flaky = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) =>
 *     Effect.suspend(() =>
 *       ++sends === 1
 *         ? Effect.fail(new TransportError({ message: "refused", reason: "connect" }))
 *         : Effect.succeed(Ready.make({ id }))
 *     ),
 *   get: () => Effect.die("not used here")
 * })
 *
 * const program = Effect.gen(function* () {
 *   const bus = yield* Resilience.Events
 *   assert.ok(bus)
 *   const events = yield* bus.subscribe
 *   const accounts = yield* ConnectedAccounts
 *   yield* accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))
 *   const event = yield* PubSub.take(events)
 *   assert.equal(event._tag, "RetryScheduled")
 * })
 *
 * await program.pipe(
 *   Effect.scoped,
 *   Effect.provide(
 *     Resilience.layer(Resilience.retry({ baseDelay: "1 millis" })).pipe(
 *       Layer.provide(flaky),
 *       Layer.provideMerge(Resilience.layerEvents)
 *     )
 *   ),
 *   Effect.runPromise
 * )
 * ```
 */
export const Events = Context.Reference<EventBus | undefined>("@rekindle/core/resilience/Events", {
  defaultValue: () => undefined
})

/** Turns events on for every pipeline made inside. Keeps the last 256 for each slow subscriber. */
export const layerEvents: Layer.Layer<never> = Layer.effect(
  Events,
  Effect.map(PubSub.sliding<PolicyEvent>(256), (pubsub) => new EventBus(pubsub))
)
