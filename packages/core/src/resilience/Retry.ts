/**
 * Retries, for a call that must not be sent twice.
 *
 * The disposition of the failure decides, and not its status:
 *
 * - `not-sent`: the call is sent again after a jittered backoff, or after the `retryAfter` of the policy that refused it.
 * - `rejected`: only after 429 and 503, when the server's Retry-After (capped) has passed.
 * - `ambiguous`: with an idempotency key, the call is sent again. Otherwise the account is read first (see `Reconcile`), and the call is sent
 *   again only if the account has not changed. With `reconcile: false` and no key, it is never sent again.
 *
 * After an ambiguous attempt the call stays in doubt, because that attempt may be carried out at any later time. So the account is read before
 * every further send, whatever failed in between. The call then ends with the ambiguous failure, and never with one that says that nothing was done.
 *
 * **Gotchas**
 *
 * - It does not wait past the deadline. It returns the error at once.
 * - After an ambiguous failure of the last attempt the account is read too, because the caller prefers the answer to the error.
 * - A failed read uses up an attempt.
 * - Reads (`get`) are retried too, from the same budget, because they are safe.
 *
 * @module
 */
import { Clock, Duration, Effect, type Fiber } from "effect"
import type { ConnectedAccount, ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import { mayPass, type ReadError, type RefreshError, retryAfterOf } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"
import { type EventBus, Events } from "./Events.ts"
import { decorrelated } from "./internal/Backoff.ts"
import { type Call, withCall } from "./internal/Call.ts"
import * as Metrics from "./Metrics.ts"
import { type Accounts, type Policy, policy } from "./Policy.ts"
import { type Before, describeReconcile, firstReading, readAfter, type ReconcileOptions } from "./Reconcile.ts"
import { RetryBudget, type RetryBudgetOptions, SharedRetryBudget } from "./RetryBudget.ts"
import { Settings } from "./Settings.ts"

/** How often and how soon a call is sent again. */
export interface RetryOptions {
  /** Attempts of one call, including the first. Default 3. `Settings.maxAttempts` replaces it. */
  readonly maxAttempts?: number | undefined
  /** The shortest backoff. Default 100 ms. */
  readonly baseDelay?: Duration.Input | undefined
  /** The longest backoff. Default 5 seconds. */
  readonly maxDelay?: Duration.Input | undefined
  /** Upper bound on Retry-After. Jitter is added on top. Default 30 seconds. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** The budget that all calls share. `false`: none. */
  readonly budget?: RetryBudgetOptions | false | undefined
  /** How the account is read after an ambiguous attempt. `false`: it is not read, and without a key the attempt is not repeated. */
  readonly reconcile?: ReconcileOptions | false | undefined
}

/** The next step that a failure allows, for your own retry policy: send again, read the account first, or stop. */
export const nextStep = (
  error: RefreshError,
  options: { readonly idempotencyKey?: string | undefined; readonly reconcile: boolean }
): "send" | "reconcile" | "stop" => {
  switch (error.disposition) {
    case "not-sent":
      // A request that cannot be encoded now cannot be encoded later.
      return error._tag === "TransportError" && error.reason === "encode" ? "stop" : "send"
    case "rejected":
      return mayPass(error) ? "send" : "stop"
    case "ambiguous":
      return options.idempotencyKey !== undefined ? "send" : options.reconcile ? "reconcile" : "stop"
  }
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

/** One refresh. All its attempts share it. */
interface Request {
  readonly id: ConnectedAccountId
  readonly options: RefreshOptions | undefined
  readonly call: Call
  readonly fiber: Fiber.Fiber<unknown, unknown>
}

const nowOf = ({ fiber }: Request): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

const deadlineOf = ({ options }: Request): number => options?.deadline?.epochMilliseconds ?? Infinity

/** The progress of one call. */
interface Progress {
  /** Attempts so far, including the first. */
  readonly attempt: number
  /** The last backoff, in milliseconds. */
  readonly backoff: number
}

/** The progress of one refresh. */
interface RefreshProgress extends Progress, Before {
  /** The last ambiguous failure. */
  readonly doubt: RefreshError | undefined
}

/**
 * Sends a call again if that is safe.
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
      return decorate(next, { ...limits, reconcile, events, budget: shared ?? makeBudget() })
    })
  )
}

const decorate = (next: Accounts, config: Config): Accounts => {
  const { budget, events, reconcile } = config
  const pause = makePause(config)
  const countRetry = Effect.withFiber((fiber) => Effect.sync(() => Metrics.retries.updateUnsafe(1, fiber.context)))

  /** Reads change nothing, so every transient failure is retried. */
  const read = (id: ConnectedAccountId, progress: Progress): Effect.Effect<ConnectedAccount, ReadError> =>
    next
      .get(id)
      .pipe(
        Effect.catch((error) =>
          error.disposition === "ambiguous" || nextStep(error, { reconcile: false }) === "send"
            ? Effect.flatMap(pause(id, Infinity, error, progress), (further) =>
                further === undefined ? Effect.fail(error) : Effect.andThen(countRetry, read(id, further))
              )
            : Effect.fail(error)
        )
      )

  const send = (request: Request, progress: RefreshProgress): Effect.Effect<RefreshOutcome, RefreshError> => {
    const { call, fiber, id, options } = request
    call.attempts++
    Metrics.attempts.updateUnsafe(1, fiber.context)
    const startedAt = nowOf(request)
    return next.refresh(id, options).pipe(Effect.catch((error) => recover(request, error, { ...progress, startedAt })))
  }

  const recover = (
    request: Request,
    error: RefreshError,
    progress: RefreshProgress
  ): Effect.Effect<RefreshOutcome, RefreshError> => {
    const { call, id, options } = request
    const idempotencyKey = options?.idempotencyKey
    if (error.disposition === "ambiguous") call.doubt = true
    const doubt = error.disposition === "ambiguous" ? error : progress.doubt
    if (nextStep(error, { idempotencyKey, reconcile: reconcile !== undefined }) === "stop") return Effect.fail(error)
    call.held = true
    return Effect.flatMap(pause(id, deadlineOf(request), error, progress), (further) => {
      call.held = false
      const mustReconcile = doubt !== undefined && idempotencyKey === undefined
      if (mustReconcile) return reconcileAfter(request, doubt, { ...progress, doubt }, further)
      return further === undefined ? Effect.fail(doubt ?? error) : resend(request, { ...progress, ...further, doubt })
    })
  }

  const resend = (request: Request, progress: RefreshProgress) =>
    Effect.andThen(
      countRetry,
      Effect.suspend(() => send(request, progress))
    )

  /** Reads the account to learn the result of the attempt. `further` is undefined if no attempt is left; the account is then read all the same. */
  const reconcileAfter = (
    request: Request,
    doubt: RefreshError,
    progress: RefreshProgress,
    further: Progress | undefined
  ): Effect.Effect<RefreshOutcome, RefreshError> => {
    if (reconcile === undefined || nowOf(request) >= deadlineOf(request)) return Effect.fail(doubt)
    return Effect.flatMap(
      readAfter(next, request.id, progress, reconcile.clockSkew, events),
      (found): Effect.Effect<RefreshOutcome, RefreshError> => {
        if (further !== undefined && found._tag !== "Unmoved") budget?.refund()
        if (found._tag === "Moved") return Effect.succeed(found.outcome)
        if (further === undefined) return Effect.fail(doubt)
        if (found._tag === "Unknown") return recover(request, doubt, { ...progress, ...further })
        return resend(request, { ...progress, ...further, seen: found.account })
      }
    )
  }

  const begin = { attempt: 1, backoff: config.baseDelay, startedAt: 0, seen: undefined, doubt: undefined }
  return {
    refresh: (id, options) =>
      withCall((call, fiber) => {
        budget?.deposit()
        const request = { id, options, call, fiber }
        return reconcile?.baseline === "read"
          ? Effect.flatMap(firstReading(next, id), (seen) => send(request, { ...begin, seen }))
          : send(request, begin)
      }),
    get: (id) =>
      Effect.suspend(() => {
        budget?.deposit()
        return read(id, begin)
      })
  }
}

/** Spends a retry and waits for its backoff. Returns `undefined` at once if there is no further attempt. */
const makePause =
  ({ baseDelay, budget, events, maxAttempts, maxDelay, maxRetryAfter }: Config) =>
  (
    accountId: ConnectedAccountId,
    deadline: number,
    error: RefreshError,
    { attempt, backoff: last }: Progress
  ): Effect.Effect<Progress | undefined> =>
    Effect.gen(function* () {
      const refuse = (reason: "attempts" | "budget" | "deadline") => {
        events?.publish({ _tag: "RetryRefused", accountId, attempt, reason })
        return undefined
      }
      if (attempt >= ((yield* Settings).maxAttempts ?? maxAttempts)) return refuse("attempts")
      const backoff = yield* decorrelated(last, baseDelay, maxDelay)
      const asked = Math.min(Duration.toMillis(retryAfterOf(error) ?? Duration.zero), maxRetryAfter)
      // Jitter on top of Retry-After: callers that got the same value would otherwise come back at the same moment.
      const delay = Math.max(backoff, asked + Math.max(0, backoff - baseDelay))
      if ((yield* Clock.currentTimeMillis) + delay >= deadline) return refuse("deadline")
      if (budget?.withdraw() === false) return refuse("budget")
      const { _tag, disposition } = error
      events?.publish({ _tag: "RetryScheduled", accountId, attempt, delay, error: _tag, disposition })
      yield* Effect.sleep(delay)
      return { attempt: attempt + 1, backoff }
    })
