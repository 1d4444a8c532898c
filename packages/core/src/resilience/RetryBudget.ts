/**
 * The retry budget: retries may be a share of the traffic, never a multiple of it.
 *
 * Three attempts per call triple the load exactly when the other side can bear it least. Here every first attempt earns a fraction of
 * a retry and every retry costs a whole one, out of one bucket shared by all calls. So over any run of calls,
 * `retries <= reserve + ratio * calls`. What may surprise: there is no refill by time. A quiet client that has spent its reserve earns
 * the next retry by calling.
 *
 * @module
 */
import { Context, Layer } from "effect"

/** How many retries calls earn. */
export interface RetryBudgetOptions {
  /** Retries earned by each call. Default 0.2: at most one retry for five calls, in the long run. */
  readonly ratio?: number | undefined
  /** Retries in the bucket at the start, for a client with little traffic; also what a full bucket holds. Default 10. */
  readonly reserve?: number | undefined
}

// Thousandths of a retry: ten times 0.1 is not 1 in floating point.
const whole = 1_000

/**
 * A bucket of retries. `retry` makes its own unless one is provided with {@link layerRetryBudget}, which several pipelines then share,
 * and which outlives a reconfiguration.
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

  /** A first attempt begins: earn a share of a retry. */
  deposit(): void {
    this.#add(Math.round(this.ratio * whole))
  }

  /** Pays for a retry; `false` if the bucket cannot. */
  withdraw(): boolean {
    if (this.#balance < whole) return false
    this.#balance -= whole
    return true
  }

  /** Gives back a retry that was paid for and not sent. */
  refund(): void {
    this.#add(whole)
  }

  #add(amount: number): void {
    this.#balance = Math.min(Math.max(this.reserve, 1) * whole, this.#balance + amount)
  }
}

/** A budget that pipelines share, when one is provided where they are made. */
export const SharedRetryBudget = Context.Reference<RetryBudget | undefined>(
  "@rekindle/core/resilience/SharedRetryBudget",
  { defaultValue: () => undefined }
)

/** One budget for every pipeline made inside. */
export const layerRetryBudget = (options?: RetryBudgetOptions): Layer.Layer<never> =>
  Layer.sync(SharedRetryBudget, () => new RetryBudget(options))
