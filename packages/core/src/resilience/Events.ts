/**
 * Events of policies, for a dashboard, an audit log or a test.
 *
 * Events are published only if {@link layerEvents} is provided to the pipeline. Without it, an event costs one comparison. The buffer slides: a slow
 * subscriber loses the oldest events, and never delays a refresh.
 *
 * @module
 */
import { Context, Effect, Layer, PubSub, Stream } from "effect"
import type { ConnectedAccountId, ConnectedAccountStatus } from "../ConnectedAccount.ts"
import type { RefreshError } from "../RefreshError.ts"

/** An action of a policy. Durations are in milliseconds. Events contain no secrets. */
export type PolicyEvent =
  | {
      /** Another attempt will follow after `delay`. */
      readonly _tag: "RetryScheduled"
      readonly accountId: ConnectedAccountId
      readonly attempt: number
      readonly delay: number
      readonly error: RefreshError["_tag"]
      readonly disposition: RefreshError["disposition"]
    }
  | {
      /** An attempt could be repeated and is not, because no attempts, no budget or no time are left. */
      readonly _tag: "RetryRefused"
      readonly accountId: ConnectedAccountId
      readonly attempt: number
      readonly reason: "attempts" | "budget" | "deadline"
    }
  | {
      /** The account was read after an ambiguous attempt. */
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
      /** A local limit refused a call. */
      readonly _tag: "Refused"
      readonly accountId: ConnectedAccountId
      readonly reason: "circuit-open" | "queue-full" | "rate-limited"
    }
  | {
      /** A call joined the flight of another. */
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

/** The bus on which policies publish. */
export class EventBus {
  readonly #pubsub: PubSub.PubSub<PolicyEvent>
  constructor(pubsub: PubSub.PubSub<PolicyEvent>) {
    this.#pubsub = pubsub
  }
  /** Publishes without waiting; a full buffer drops its oldest event. */
  publish(event: PolicyEvent): void {
    // `publishUnsafe` would drop the newest event. `publish` on a sliding hub never waits.
    Effect.runSync(PubSub.publish(this.#pubsub, event))
  }
  /** All events from the subscription on. */
  get stream(): Stream.Stream<PolicyEvent> {
    return Stream.fromPubSub(this.#pubsub)
  }
  /** Subscribes. The subscription is active when this effect returns. */
  get subscribe() {
    return PubSub.subscribe(this.#pubsub)
  }
}

/**
 * The present bus; `undefined` if none is provided. Policies read it when they are made.
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

/** Turns on events for all pipelines that it is provided to. Each subscriber has a buffer of 256 events. */
export const layerEvents: Layer.Layer<never> = Layer.effect(
  Events,
  Effect.map(PubSub.sliding<PolicyEvent>(256), (pubsub) => new EventBus(pubsub))
)
