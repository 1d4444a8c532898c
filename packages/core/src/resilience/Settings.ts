/**
 * Settings of policies for single calls. They are a `Context.Reference`, so they can be provided to one call, to a program or to a layer.
 *
 * A setting replaces the option of the policy. `RefreshOptions.deadline` still limits every call. A shared flight has the settings of the caller who
 * started it.
 *
 * An inner value replaces an outer one completely. To change one setting and keep the others, use
 * `Effect.updateService(Resilience.Settings, (outer) => ({ ...outer, maxAttempts: 1 }))`.
 *
 * @module
 */
import { Context, type Duration } from "effect"

/** Settings for calls. Each one replaces the option of a policy. */
export interface Settings {
  /** Replaces the time limit of a `deadline` policy. */
  readonly timeout?: Duration.Input | undefined
  /** Replaces the time limit of an `attemptTimeout` policy. */
  readonly attemptTimeout?: Duration.Input | undefined
  /** Replaces the number of attempts of a `retry` policy. 1 switches retries off. */
  readonly maxAttempts?: number | undefined
  /** `false`: the call joins no flight and makes its own attempt. */
  readonly coalesce?: boolean | undefined
}

/**
 * The present settings.
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
