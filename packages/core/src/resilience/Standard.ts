/**
 * The pipeline most people want, in the right order, and the reasons for the order.
 *
 * A call meets the stages from the top down:
 *
 * | stage | why here |
 * |---|---|
 * | `telemetry` | outermost, so it measures what the caller sees |
 * | `deadline` | bounds everything below, and is each caller's own: a shared flight goes on without a caller who leaves |
 * | `coalesce` | above retry, so that a crowd shares one series of attempts instead of each making its own |
 * | `idempotencyKey` | only if `honoursIdempotencyKeys`: one key for the flight, the same for each of its sends |
 * | `retry` | above every stage whose failure may pass; its backoff holds no place below; looks before it re-sends |
 * | `rateLimit` | only if given: counts sends, not calls, since sends are what the other side counts |
 * | `bulkhead` | below retry, so that a place is held only while a request is on its way |
 * | `circuitBreaker` | below the queue, so that a call which waited while the circuit opened is not sent after all |
 * | `attemptTimeout` | innermost: a hung send counts against the circuit, gives its place back and leaves time for another |
 *
 * Every stage can be replaced: take the list from this file and compose your own.
 *
 * @module
 */
import type { Duration } from "effect"
import { attemptTimeout } from "./AttemptTimeout.ts"
import { bulkhead, type BulkheadOptions } from "./Bulkhead.ts"
import { circuitBreaker, type CircuitBreakerOptions } from "./CircuitBreaker.ts"
import { coalesce } from "./Coalesce.ts"
import { deadline } from "./Deadline.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { compose, type Policy } from "./Policy.ts"
import { rateLimit, type RateLimitOptions } from "./RateLimit.ts"
import { retry, type RetryOptions } from "./Retry.ts"
import { telemetry } from "./Telemetry.ts"

/** The stages of the standard pipeline, each with its own options. */
export interface StandardOptions {
  /** The overall deadline. Default 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** The time for one send. Default 10 seconds. */
  readonly attemptTimeout?: Duration.Input | undefined
  /** See {@link retry}. `false`: no retries. */
  readonly retry?: RetryOptions | false | undefined
  /** See {@link circuitBreaker}. `false`: none. */
  readonly circuitBreaker?: CircuitBreakerOptions | false | undefined
  /** Default: 256 at once, 1024 waiting. */
  readonly bulkhead?: BulkheadOptions | undefined
  /** See {@link rateLimit}. Default: none. */
  readonly rateLimit?: RateLimitOptions | undefined
  /**
   * Set it if the server answers a repeated idempotency key with its first answer, as Rekindle's own does: an ambiguous attempt is then
   * repeated under its key instead of looked into. Default false.
   */
  readonly honoursIdempotencyKeys?: boolean | undefined
}

/**
 * The standard pipeline.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Resilience } from "@rekindle/core"
 *
 * const pipeline = Resilience.standard({ timeout: "20 seconds" })
 * assert.deepEqual(
 *   pipeline.describe().map((stage) => stage.policy),
 *   ["telemetry", "deadline", "coalesce", "retry", "bulkhead", "circuit-breaker", "attempt-timeout"]
 * )
 * assert.deepEqual(pipeline.describe()[1], { policy: "deadline", options: { timeout: 20_000 } })
 * ```
 */
export const standard = (options: StandardOptions = {}): Policy => {
  const timeout = options.timeout ?? "30 seconds"
  return compose(
    telemetry(),
    deadline(timeout),
    coalesce({ maxFlight: timeout }),
    ...(options.honoursIdempotencyKeys === true ? [idempotencyKey()] : []),
    ...(options.retry === false ? [] : [retry(options.retry)]),
    ...(options.rateLimit === undefined ? [] : [rateLimit(options.rateLimit)]),
    bulkhead(options.bulkhead ?? { concurrency: 256, queue: 1_024 }),
    ...(options.circuitBreaker === false ? [] : [circuitBreaker(options.circuitBreaker)]),
    attemptTimeout(options.attemptTimeout ?? "10 seconds")
  )
}
