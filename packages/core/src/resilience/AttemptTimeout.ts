/**
 * A time limit for each send. Its place is innermost, inside retry, so that an attempt that hangs leaves time to read the account and to try
 * again.
 *
 * The limit is passed on as `RefreshOptions.deadline`, which the client sends to the server. An attempt that is cut off may have reached the
 * other side, so its failure is `ambiguous`. It is `not-sent` only if there was no time left to start.
 *
 * @module
 */
import type { Duration } from "effect"
import { timeLimit } from "./internal/timeLimit.ts"
import type { Policy } from "./Policy.ts"

/**
 * Limits each attempt to `timeout`, or to the time until `options.deadline` if that is shorter.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * let sends = 0
 * const hangsOnce = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.suspend(() => (++sends === 1 ? Effect.never : Effect.succeed(Ready.make({ id })))),
 *   get: () => Effect.die("not used here")
 * })
 * // If the server honours the key, the second send is safe.
 * const pipeline = Resilience.compose(
 *   Resilience.idempotencyKey(),
 *   Resilience.retry({ baseDelay: "1 millis" }),
 *   Resilience.attemptTimeout("20 millis")
 * )
 *
 * const outcome = await ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
 *   Effect.provide(Resilience.layer(pipeline).pipe(Layer.provide(hangsOnce))),
 *   Effect.runPromise
 * )
 * assert.equal(outcome._tag, "Ready")
 * assert.equal(sends, 2)
 * ```
 */
export const attemptTimeout = (timeout: Duration.Input): Policy =>
  timeLimit("attempt-timeout", "attemptTimeout", timeout)
