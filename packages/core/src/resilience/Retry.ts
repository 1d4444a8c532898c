/**
 * Sending again, for a call that must not be sent twice.
 *
 * The failure's disposition decides, never the status alone:
 *
 * - `not-sent`: again, after a jittered backoff (or the local policy's own hint, such as an open breaker's).
 * - `rejected`: only 429 and 503, after the server's Retry-After, capped.
 * - `ambiguous`: under an idempotency key of the call, again; else look first (see `Reconcile`) and send only if the account has not
 *   moved. With `reconcile: false` and no key, never.
 *
 * An attempt once in doubt stays in doubt, since it may be carried out at any later moment: a look precedes every later send, whatever
 * the failure in between, and the call does not end with a failure that says nothing was done, but with the ambiguous one.
 *
 * What may surprise: it never sleeps past the deadline but gives the error at once; an ambiguous failure of the last attempt is
 * still looked into, because the caller would rather have the answer than the error; a look that fails uses up a try; and reads
 * (`get`) are retried as well, by the same budget, since they are safe.
 *
 * @module
 */
import { Clock, Duration, Effect, type Fiber } from "effect"
import type { ConnectedAccount, ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import { type ReadError, type RefreshError, retryAfterOf } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"
import { type EventBus, Events } from "./Events.ts"
import { decorrelated } from "./internal/Backoff.ts"
import { type Call, withCall } from "./internal/Call.ts"
import * as Metrics from "./Metrics.ts"
import { type Accounts, type Policy, policy } from "./Policy.ts"
import { describeReconcile, firstReading, look, type ReconcileOptions } from "./Reconcile.ts"
import { RetryBudget, type RetryBudgetOptions, SharedRetryBudget } from "./RetryBudget.ts"
import { Settings } from "./Settings.ts"

export interface RetryOptions {
  /** Tries of one call, the first included. Default 3. `Settings.maxAttempts` replaces it. */
  readonly maxAttempts?: number
  /** The shortest backoff. Default 100 ms. */
  readonly baseDelay?: Duration.Input
  /** The longest backoff. Default 5 seconds. */
  readonly maxDelay?: Duration.Input
  /** The longest a Retry-After is obeyed. Default 30 seconds; what jitter adds to the shortest backoff is added to it as well. */
  readonly maxRetryAfter?: Duration.Input
  /** The budget all calls share. `false`: none. */
  readonly budget?: RetryBudgetOptions | false
  /** How an ambiguous attempt is looked into. `false`: it is not, and without a key it is not repeated. */
  readonly reconcile?: ReconcileOptions | false
}

interface Config {
  readonly maxAttempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly maxRetryAfter: number
  readonly budget: RetryBudget | undefined
  readonly reconcile: { readonly baseline: "clock" | "read"; readonly clockSkew: number } | undefined
  readonly events: EventBus | undefined
}

/** What a failure allows. Exported for those who write a retry of their own. */
export const verdict = (
  error: RefreshError,
  options: { readonly idempotencyKey?: string | undefined; readonly reconcile: boolean }
): "send" | "look" | "stop" => {
  switch (error.disposition) {
    case "not-sent":
      // What cannot be encoded now cannot be encoded later.
      return error._tag === "TransportError" && error.reason === "encode" ? "stop" : "send"
    case "rejected":
      return error._tag === "RateLimited" || error._tag === "Unavailable" ? "send" : "stop"
    case "ambiguous":
      return options.idempotencyKey !== undefined ? "send" : options.reconcile ? "look" : "stop"
  }
}

/**
 * Tries again where that is safe.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience, Unavailable } from "@rekindle/core"
 * import { Duration, Effect, Layer } from "effect"
 *
 * let sends = 0
 * const busyOnce = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) =>
 *     Effect.suspend(() =>
 *       ++sends === 1
 *         ? Effect.fail(new Unavailable({ message: "busy", retryAfter: Duration.days(1) }))
 *         : Effect.succeed(Ready.make({ id }))
 *     ),
 *   get: () => Effect.die("not used here")
 * })
 * const retry = Resilience.retry({ baseDelay: "1 millis", maxRetryAfter: "5 millis" })
 *
 * const outcome = await ConnectedAccounts.use((accounts) => accounts.refresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"))).pipe(
 *   Effect.provide(Resilience.layer(retry).pipe(Layer.provide(busyOnce))),
 *   Effect.runPromise
 * )
 * assert.equal(outcome._tag, "Ready")
 * assert.equal(sends, 2)
 * ```
 */
export const retry = (options: RetryOptions = {}): Policy => {
  const reconcile = options.reconcile === false ? undefined : describeReconcile(options.reconcile)
  const limits = {
    maxAttempts: options.maxAttempts ?? 3,
    baseDelay: Duration.toMillis(options.baseDelay ?? 100),
    maxDelay: Duration.toMillis(options.maxDelay ?? "5 seconds"),
    maxRetryAfter: Duration.toMillis(options.maxRetryAfter ?? "30 seconds")
  }
  const makeBudget = () => (options.budget === false ? undefined : new RetryBudget(options.budget))
  const budget = makeBudget()
  const description = {
    ...limits,
    budget: budget === undefined ? false : { ratio: budget.ratio, reserve: budget.reserve },
    reconcile: reconcile ?? false
  }
  return policy("retry", description, (next) =>
    Effect.gen(function* () {
      const shared = yield* SharedRetryBudget
      const events = yield* Events
      const config: Config = { ...limits, reconcile, events, budget: shared ?? makeBudget() }
      return {
        refresh: (id, options) =>
          withCall((call, fiber) => {
            config.budget?.deposit()
            const run = new RefreshRun(config, next, call, fiber, id, options)
            return reconcile?.baseline === "read"
              ? Effect.flatMap(firstReading(next, id), (account) => {
                  run.seen = account
                  return run.send()
                })
              : run.send()
          }),
        get: (id) =>
          Effect.withFiber((fiber) => {
            config.budget?.deposit()
            return new Run(config, next, fiber, id, undefined).read()
          })
      }
    })
  )
}

/** The tries of one call. One small object for the call instead of a closure for each step keeps the untroubled path short. */
class Run {
  protected readonly config: Config
  protected readonly next: Accounts
  protected readonly fiber: Fiber.Fiber<unknown, unknown>
  protected readonly id: ConnectedAccountId
  protected readonly deadline: number
  protected attempt = 1
  private backoff: number

  constructor(
    config: Config,
    next: Accounts,
    fiber: Fiber.Fiber<unknown, unknown>,
    id: ConnectedAccountId,
    options: RefreshOptions | undefined
  ) {
    this.config = config
    this.next = next
    this.fiber = fiber
    this.id = id
    this.deadline = options?.deadline === undefined ? Infinity : options.deadline.epochMilliseconds
    this.backoff = config.baseDelay
  }

  protected get now(): number {
    return this.fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
  }

  /** Pays for another try and waits for its time; fails with `error` at once if there is to be none. */
  protected pause(error: RefreshError): Effect.Effect<boolean> {
    if (this.attempt >= (this.fiber.getRef(Settings).maxAttempts ?? this.config.maxAttempts)) {
      return this.refuse("attempts")
    }
    return Effect.flatMap(decorrelated(this.backoff, this.config.baseDelay, this.config.maxDelay), (backoff) => {
      this.backoff = backoff
      const { baseDelay, maxRetryAfter } = this.config
      const asked = Math.min(Duration.toMillis(retryAfterOf(error) ?? Duration.zero), maxRetryAfter)
      // All who were told the same time would come back at the same moment.
      const delay = Math.max(backoff, asked + Math.max(0, backoff - baseDelay))
      if (this.now + delay >= this.deadline) return this.refuse("deadline")
      if (this.config.budget?.withdraw() === false) return this.refuse("budget")
      this.config.events?.publish({
        _tag: "RetryScheduled",
        accountId: this.id,
        attempt: this.attempt,
        delay,
        error: error._tag,
        disposition: error.disposition
      })
      this.attempt++
      return Effect.as(Effect.sleep(delay), true)
    })
  }

  private refuse(reason: "attempts" | "budget" | "deadline"): Effect.Effect<boolean> {
    return Effect.sync(() => {
      this.config.events?.publish({ _tag: "RetryRefused", accountId: this.id, attempt: this.attempt, reason })
      return false
    })
  }

  protected spent(): void {
    Metrics.retries.updateUnsafe(1, this.fiber.context)
  }

  /** Reads change nothing: whatever may pass is worth another try. */
  read(): Effect.Effect<ConnectedAccount, ReadError> {
    return this.next.get(this.id).pipe(
      Effect.catch((error) =>
        verdict(error, { idempotencyKey: "reads are idempotent", reconcile: false }) === "stop"
          ? Effect.fail(error)
          : Effect.flatMap(this.pause(error), (again) => {
              if (!again) return Effect.fail(error)
              this.spent()
              return this.read()
            })
      )
    )
  }
}

class RefreshRun extends Run {
  private readonly call: Call
  private readonly options: RefreshOptions | undefined
  startedAt = 0
  seen: ConnectedAccount | undefined = undefined
  /** The last ambiguous failure. */
  private doubt: RefreshError | undefined = undefined

  constructor(
    config: Config,
    next: Accounts,
    call: Call,
    fiber: Fiber.Fiber<unknown, unknown>,
    id: ConnectedAccountId,
    options: RefreshOptions | undefined
  ) {
    super(config, next, fiber, id, options)
    this.call = call
    this.options = options
  }

  send(): Effect.Effect<RefreshOutcome, RefreshError> {
    this.call.attempts++
    Metrics.attempts.updateUnsafe(1, this.fiber.context)
    this.startedAt = this.now
    return this.next.refresh(this.id, this.options).pipe(Effect.catch((error) => this.recover(error)))
  }

  private recover(error: RefreshError): Effect.Effect<RefreshOutcome, RefreshError> {
    if (error.disposition === "ambiguous") {
      this.doubt = error
      this.call.doubt = true
    }
    const { options } = this
    const allowed = verdict(error, {
      idempotencyKey: options?.idempotencyKey,
      reconcile: this.config.reconcile !== undefined
    })
    if (allowed === "stop") return Effect.fail(error)
    const failure = this.doubt ?? error
    const looks = this.doubt !== undefined && options?.idempotencyKey === undefined
    return Effect.flatMap(this.held(error), (again) =>
      looks ? this.lookAfter(failure, again) : again ? this.resend() : Effect.fail(failure)
    )
  }

  private held(error: RefreshError): Effect.Effect<boolean> {
    this.call.held = true
    return Effect.map(this.pause(error), (again) => {
      this.call.held = false
      return again
    })
  }

  private resend(): Effect.Effect<RefreshOutcome, RefreshError> {
    this.spent()
    return this.send()
  }

  private lookAfter(error: RefreshError, mayResend: boolean): Effect.Effect<RefreshOutcome, RefreshError> {
    if (this.config.reconcile === undefined || this.now >= this.deadline) return Effect.fail(error)
    return Effect.flatMap(
      look(this.next, this.id, this, this.config.reconcile.clockSkew, this.config.events),
      (found): Effect.Effect<RefreshOutcome, RefreshError> => {
        if (mayResend && found._tag !== "Unmoved") this.config.budget?.refund()
        if (found._tag === "Moved") return Effect.succeed(found.outcome)
        if (!mayResend) return Effect.fail(error)
        if (found._tag === "Unknown") return this.recover(error)
        this.seen = found.account
        return this.resend()
      }
    )
  }
}
