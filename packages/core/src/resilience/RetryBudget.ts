/**
 * The retry budget limits retries to a share of the calls.
 *
 * Without it, three attempts per call triple the load while the other side is failing. Here every first attempt earns a fraction of a
 * retry, and every retry costs a whole one. All calls share one bucket, so `retries <= reserve + ratio * calls` always holds.
 *
 * **Gotchas**
 *
 * The bucket is not refilled by time. A client that has spent its reserve earns the next retry by further calls.
 *
 * @module
 */
import { Context, Layer } from "effect"

/** The size of a retry budget. */
export interface RetryBudgetOptions {
  /** Retries earned by each call. Default 0.2: in the long run at most one retry for five calls. */
  readonly ratio?: number | undefined
  /** Retries in the bucket at the start, and its capacity. It serves clients with little traffic. Default 10. */
  readonly reserve?: number | undefined
}

// In thousandths of a retry, because ten times 0.1 is not 1 in floating point.
const whole = 1_000

/**
 * A bucket of retries. `retry` makes its own, unless {@link layerRetryBudget} provides one. Several pipelines can share that one, and it survives a
 * reconfiguration.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Resilience } from "@rekindle/core"
 *
 * const budget = new Resilience.RetryBudget({ ratio: 0.5, reserve: 1 })
 * assert.equal(budget.withdraw(), true) // the reserve
 * assert.equal(budget.withdraw(), false)
 * budget.deposit() // one call earns half a retry
 * assert.equal(budget.withdraw(), false)
 * budget.deposit()
 * assert.equal(budget.withdraw(), true)
 * ```
 */
export class RetryBudget {
  readonly ratio: number
  readonly reserve: number
  #balance: number

  constructor(options?: RetryBudgetOptions) {
    this.ratio = options?.ratio ?? 0.2
    this.reserve = options?.reserve ?? 10
    this.#balance = this.reserve * whole
  }

  /** Earns a share of a retry, for a first attempt. */
  deposit(): void {
    this.#add(Math.round(this.ratio * whole))
  }

  /** Spends a retry; `false` if there is none. */
  withdraw(): boolean {
    if (this.#balance < whole) return false
    this.#balance -= whole
    return true
  }

  /** Returns a retry that was spent and not sent. */
  refund(): void {
    this.#add(whole)
  }

  #add(amount: number): void {
    this.#balance = Math.min(Math.max(this.reserve, 1) * whole, this.#balance + amount)
  }
}

/** The budget that pipelines share, if one is provided to them. */
export const SharedRetryBudget = Context.Reference<RetryBudget | undefined>(
  "@rekindle/core/resilience/SharedRetryBudget",
  { defaultValue: () => undefined }
)

/** Provides one budget to all pipelines. */
export const layerRetryBudget = (options?: RetryBudgetOptions): Layer.Layer<never> =>
  Layer.sync(SharedRetryBudget, () => new RetryBudget(options))
