/**
 * The time one send may take. It goes innermost, inside retry, so that a hung attempt leaves time for looking and for another.
 *
 * The attempt's instant travels on as `RefreshOptions.deadline`: that is what the server is told. An attempt cut short here may have
 * reached the other side, so its failure is `ambiguous`, save when there was no time left to begin.
 *
 * @module
 */
import type { Duration } from "effect"
import { timeLimit } from "./internal/timeLimit.ts"
import type { Policy } from "./Policy.ts"

/**
 * Bounds each attempt. What is left until `options.deadline` bounds it too.
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
 * // With a key the server honours, the second send is safe.
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
