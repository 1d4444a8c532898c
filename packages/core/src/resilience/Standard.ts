/**
 * The pipeline for most programs, and the reasons for its order.
 *
 * A call passes the stages from the top down:
 *
 * | stage | why here |
 * |---|---|
 * | `telemetry` | outermost, so that it measures what the caller sees |
 * | `deadline` | limits all stages below for each caller; a shared flight continues without a caller who leaves |
 * | `coalesce` | above retry, so that all callers share one series of attempts |
 * | `idempotencyKey` | only with `honoursIdempotencyKeys`: one key for all attempts of a flight |
 * | `retry` | above all stages with transient failures; its backoff holds no place in the bulkhead |
 * | `rateLimit` | only if given; below retry, because the other side counts attempts and not calls |
 * | `bulkhead` | below retry, so that a place is held only while a request is in flight |
 * | `circuitBreaker` | below the queue, so that a call that waited while the circuit opened is not sent |
 * | `attemptTimeout` | innermost: an attempt that hangs counts against the circuit, frees its place, and leaves time for another |
 *
 * Every stage can be replaced: copy the list from this file and compose your own.
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
  /** The time limit of one attempt. Default 10 seconds. */
  readonly attemptTimeout?: Duration.Input | undefined
  /** See {@link retry}. `false`: no retries. */
  readonly retry?: RetryOptions | false | undefined
  /** See {@link circuitBreaker}. `false`: none. */
  readonly circuitBreaker?: CircuitBreakerOptions | false | undefined
  /** See {@link bulkhead}. Default: 256 calls in flight, 1,024 in the queue. */
  readonly bulkhead?: BulkheadOptions | undefined
  /** See {@link rateLimit}. Default: none. */
  readonly rateLimit?: RateLimitOptions | undefined
  /**
   * Whether the server answers a repeated idempotency key with the result of the first attempt, as Rekindle's does. An ambiguous attempt is then
   * repeated with its key, without reading the account. Default false.
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
