/**
 * What one call may ask of the policies it passes. A `Context.Reference`, so the same value is an override when provided around one
 * call and a default when provided around a program or a layer.
 *
 * A setting replaces the policy's own option for the calls inside; `RefreshOptions.deadline` still bounds all of them. A flight shared
 * by several callers runs under the settings of the caller who started it.
 *
 * A value provided further in replaces the outer one as a whole. To change one setting and keep the rest, use
 * `Effect.updateService(Resilience.Settings, (outer) => ({ ...outer, maxAttempts: 1 }))`.
 *
 * @module
 */
import { Context, type Duration } from "effect"

/** What a call asks of the policies that it passes; each setting replaces the policy's own option. */
export interface Settings {
  /** Replaces the overall time a `deadline` policy gives. */
  readonly timeout?: Duration.Input | undefined
  /** Replaces the time an `attemptTimeout` policy gives each send. */
  readonly attemptTimeout?: Duration.Input | undefined
  /** Replaces the number of sends a `retry` policy allows; 1 switches retries off. */
  readonly maxAttempts?: number | undefined
  /** `false`: start an attempt of one's own instead of joining one in flight. */
  readonly coalesce?: boolean | undefined
}

/**
 * The settings in force.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Resilience, TransportError } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * let sends = 0
 * const down = Layer.succeed(ConnectedAccounts, {
 *   refresh: () =>
 *     Effect.suspend(() => {
 *       sends++
 *       return new TransportError({ message: "refused", reason: "connect" })
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 * const accounts = Resilience.layer(Resilience.retry()).pipe(Layer.provide(down))
 *
 * const error = await ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
 *   Effect.provideService(Resilience.Settings, { maxAttempts: 1 }),
 *   Effect.provide(accounts),
 *   Effect.flip,
 *   Effect.runPromise
 * )
 * assert.equal(error._tag, "TransportError")
 * assert.equal(sends, 1)
 * ```
 */
export const Settings = Context.Reference<Settings>("@rekindle/core/resilience/Settings", { defaultValue: () => ({}) })
