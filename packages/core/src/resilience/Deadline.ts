/**
 * The overall deadline: a time limit for the whole call, with queues, retries, backoff and reads of the account.
 *
 * Its place is outermost. The deadline is passed on as `RefreshOptions.deadline`, so that inner stages start nothing that cannot end in time, and the
 * client sends it to the server.
 *
 * **Gotchas**
 *
 * The caller gets its answer on time even if the work is uninterruptible. A shared flight continues without the caller.
 *
 * @module
 */
import type { Duration } from "effect"
import { timeLimit } from "./internal/timeLimit.ts"
import type { Policy } from "./Policy.ts"

/**
 * Limits the whole call to `timeout` (or `Settings.timeout`), or to the call's own `options.deadline` if that is earlier.
 *
 * Fails with `DeadlineExceeded`. It is `not-sent` if a local stage still held the call back and no earlier attempt was ambiguous, otherwise
 * `ambiguous`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * const silent = Layer.succeed(ConnectedAccounts, { refresh: () => Effect.never, get: () => Effect.never })
 *
 * const error = await ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
 *   Effect.provide(Resilience.layer(Resilience.deadline("20 millis")).pipe(Layer.provide(silent))),
 *   Effect.flip,
 *   Effect.runPromise
 * )
 * assert.equal(error._tag, "DeadlineExceeded")
 * assert.equal(error.disposition, "ambiguous")
 * ```
 */
export const deadline = (timeout: Duration.Input): Policy => timeLimit("deadline", "timeout", timeout)
