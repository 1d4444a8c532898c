/**
 * The overall deadline: how long a caller waits, everything included (queues, retries, backoff, looking).
 *
 * It goes outermost. The instant travels inward as `RefreshOptions.deadline`, so that inner stages do not start what cannot finish and
 * the client can tell the server. What may surprise: the caller is answered on time even if the work ignores its interruption, and a
 * shared flight it was waiting for goes on without it.
 *
 * @module
 */
import type { Duration } from "effect"
import { timeLimit } from "./internal/timeLimit.ts"
import type { Policy } from "./Policy.ts"

/**
 * Bounds the whole call. The earliest of `timeout` (or `Settings.timeout`) and the call's own `options.deadline` counts.
 *
 * Fails with `DeadlineExceeded`: `not-sent` if the call was still held back here and no earlier attempt is in doubt, else `ambiguous`.
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
