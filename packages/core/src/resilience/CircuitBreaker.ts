/**
 * The circuit breaker: if the other side keeps failing, it lets no calls through for a while.
 *
 * The circuits are those of Effect's `CircuitBreakerStore`, with its states, generations and probe leases. This module classifies failures:
 *
 * - A failure is an ambiguous error (timeout, reset, 500, garbage), a 503, or a connection that could not be made.
 * - A success is also an answer about the account or the key (400, 401, 403, 404, 501), because it shows that the other side works.
 * - A 429 and a local refusal are ignored.
 *
 * A store of its own is not called before something fails.
 *
 * **Gotchas**
 *
 * - One circuit guards the whole provider by default. A client does not know the auth config of an account, so a circuit for each auth config
 *   needs your own `key` function.
 * - The store is in memory, unless one is provided to the pipeline, such as `CircuitBreaker.layerStoreRedis()`. Breakers with the same store,
 *   name and key share a circuit.
 * - If the store cannot be reached, calls pass.
 *
 * @module
 */
import { Context, Duration, Effect, Exit, Layer, Option } from "effect"
import * as Breaker from "effect/persistence/CircuitBreaker"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import * as MonotonicClock from "../MonotonicClock.ts"
import { type RefreshError, retryAfterOf, RefusedLocally } from "../RefreshError.ts"
import { Events } from "./Events.ts"
import * as Metrics from "./Metrics.ts"
import { type Policy, policy } from "./Policy.ts"

/** Which calls share a circuit, when it opens, and for how long. */
export interface CircuitBreakerOptions {
  /** Distinguishes the circuits of several breakers in one store. Default `"rekindle"`. */
  readonly name?: string | undefined
  /** The circuit of a call: `"provider"` is one for all, `"account"` one for each account, a function your own choice. Default `"provider"`. */
  readonly key?: "provider" | "account" | ((id: ConnectedAccountId, options?: RefreshOptions) => string) | undefined
  /** When the circuit opens. Default: if at least half of the last 50 calls failed, and there were at least 20. */
  readonly tripPolicy?: Breaker.TripPolicy | undefined
  /** How long the circuit stays open before it lets one probe through. It doubles with each consecutive opening. Default 15 seconds. */
  readonly openDuration?: Duration.Input | undefined
  /** Upper bound on the open time, also after doubling and for a 503's Retry-After. Default 1 minute. */
  readonly maxOpenDuration?: Duration.Input | undefined
}

/** Classifies an error: whether it counts as a success or a failure of the other side. */
export const health = (error: RefreshError): Breaker.Outcome => {
  switch (error._tag) {
    case "InvalidRequest":
    case "Unauthorized":
    case "Forbidden":
    case "AccountNotFound":
    case "RefreshUnsupported":
      return Breaker.success
    case "RateLimited":
    case "RefusedLocally":
      return Breaker.ignored
    case "RefreshFailed":
      return Breaker.failure()
    case "Unavailable":
      return Breaker.failure({ retryAfter: retryAfterOf(error) })
    case "TransportError":
      return error.reason === "encode" ? Breaker.ignored : Breaker.failure()
    case "DeadlineExceeded":
    case "UnexpectedResponse":
      return error.disposition === "ambiguous" ? Breaker.failure() : Breaker.ignored
  }
}

const classify = (exit: Exit.Exit<unknown, RefreshError>): Breaker.Outcome => {
  if (Exit.isSuccess(exit)) return Breaker.success
  if (Exit.hasInterrupts(exit)) return Breaker.ignored
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" ? health(error.value) : Breaker.failure()
}

/** A store in memory, whose circuits stay open for as long as they should, although it measures by the time of day. */
const inSteadyTime = (store: Breaker.CircuitBreakerStore["Service"]): Breaker.CircuitBreakerStore["Service"] => ({
  admit: (key) => MonotonicClock.within(store.admit(key)),
  record: (options) => MonotonicClock.within(store.record(options)),
  state: (key) => MonotonicClock.within(store.state(key))
})

/**
 * Refuses calls while the circuit is open. They fail with `RefusedLocally`, reason `circuit-open`, and `retryAfter` if it is known.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, RefreshFailed, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker } from "effect/persistence"
 *
 * let sends = 0
 * const broken = Layer.succeed(ConnectedAccounts, {
 *   refresh: () =>
 *     Effect.suspend(() => {
 *       sends++
 *       return new RefreshFailed({ message: "boom" })
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 * const breaker = Resilience.circuitBreaker({ tripPolicy: CircuitBreaker.consecutive(1) })
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *   assert.equal((yield* Effect.flip(accounts.refresh(id)))._tag, "RefreshFailed")
 *   const refused = yield* Effect.flip(accounts.refresh(id))
 *   assert.equal(refused._tag, "RefusedLocally")
 *   assert.equal(refused.disposition, "not-sent")
 *   assert.equal(sends, 1)
 * })
 *
 * await program.pipe(Effect.provide(Resilience.layer(breaker).pipe(Layer.provide(broken))), Effect.runPromise)
 * ```
 */
export const circuitBreaker = (options: CircuitBreakerOptions = {}): Policy => {
  const name = options.name ?? "rekindle"
  const key = options.key ?? "provider"
  const tripPolicy = options.tripPolicy ?? Breaker.rate({ threshold: 0.5, size: 50, minimumCalls: 20 })
  const openDuration = Duration.toMillis(options.openDuration ?? "15 seconds")
  const maxOpenDuration = Duration.toMillis(options.maxOpenDuration ?? "1 minute")
  const keyOf =
    key === "provider"
      ? () => name
      : key === "account"
        ? (id: ConnectedAccountId) => `${name}:${id}`
        : (id: ConnectedAccountId, options?: RefreshOptions) => `${name}:${key(id, options)}`
  const openFor = (outcome: Breaker.Outcome, { consecutiveOpenings }: Breaker.Admission): Duration.Duration => {
    const asked = outcome._tag === "Failure" && outcome.retryAfter !== undefined ? outcome.retryAfter : Duration.zero
    const doubled = openDuration * 2 ** consecutiveOpenings
    return Duration.millis(Math.min(maxOpenDuration, Math.max(doubled, Duration.toMillis(asked))))
  }
  /** The number of calls in the circuit's window. */
  const window = tripPolicy._tag === "Rate" ? tripPolicy.size : 1
  const description = {
    name,
    key: typeof key === "string" ? key : "function",
    tripPolicy,
    openDuration,
    maxOpenDuration
  }
  return policy("circuit-breaker", description, (next) =>
    Effect.gen(function* () {
      const events = yield* Events
      const given = yield* Effect.serviceOption(Breaker.CircuitBreakerStore)
      const store = Option.isSome(given)
        ? given.value
        : inSteadyTime(Context.get(yield* Layer.build(Breaker.layerStoreMemory()), Breaker.CircuitBreakerStore))
      const alone = Option.isNone(given) && key === "provider"
      /**
       * The circuit while nothing fails: it is closed, and its window has only successes. A further success changes nothing, so the store is not
       * called before a failure. Undefined if the store decides. Only a circuit that no other process uses can be calm.
       */
      let calm: { readonly admission: Breaker.Admission; untold: number } | undefined
      let successesInRow = window

      const changed = (transition: Breaker.Transition | undefined): Effect.Effect<void> => {
        if (transition === undefined) return Effect.void
        calm = undefined
        // The store starts each state with an empty window.
        successesInRow = window
        return Effect.withFiber(({ context }) => {
          const { from, key, to } = transition
          Metrics.circuitTransitions[to].updateUnsafe(1, context)
          events?.publish({ _tag: "CircuitChanged", key, from, to })
          return Effect.void
        })
      }
      const refused = (error: Breaker.CircuitBreakerError, id: ConnectedAccountId) => {
        events?.publish({ _tag: "Refused", accountId: id, reason: "circuit-open" })
        return new RefusedLocally({
          message: `${error.reason.message} for ${id}`,
          reason: "circuit-open",
          ...(error.reason._tag === "CircuitOpen" ? { retryAfter: error.reason.retryAfter } : undefined)
        })
      }
      const record = (key: string, admission: Breaker.Admission, outcome: Breaker.Outcome) => {
        if (outcome._tag === "Success") successesInRow++
        if (outcome._tag === "Failure") successesInRow = 0
        return Effect.matchEffect(
          store.record({
            key,
            generation: admission.generation,
            outcome: outcome._tag,
            tripPolicy,
            openFor: openFor(outcome, admission)
          }),
          { onSuccess: changed, onFailure: () => Effect.void }
        )
      }

      /** Ends a call: counts its outcome here while the circuit is calm, otherwise in the store. */
      const settle = (key: string, admission: Breaker.Admission, outcome: Breaker.Outcome) => {
        if (calm?.admission.generation !== admission.generation) return record(key, admission, outcome)
        if (outcome._tag === "Success") calm.untold++
        if (outcome._tag !== "Failure") return undefined
        const untold = Array.from({ length: Math.min(calm.untold, window) }, () => Breaker.success)
        calm = undefined
        // Admitted again, because the store drops a circuit that was not used for an hour.
        return Effect.matchEffect(Effect.scoped(store.admit(key)), {
          onFailure: () => Effect.void,
          onSuccess: (admission) =>
            Effect.forEach([...untold, outcome], (outcome) => record(key, admission, outcome), { discard: true })
        })
      }

      const throughStore = <A, E extends RefreshError>(
        self: Effect.Effect<A, E>,
        id: ConnectedAccountId,
        key: string
      ): Effect.Effect<A, E | RefusedLocally> => {
        const admitted = Effect.uninterruptibleMask((restore) =>
          Effect.matchEffect(store.admit(key), {
            onFailure: (error): Effect.Effect<A, E | RefusedLocally> =>
              error.reason._tag === "CircuitBreakerStoreError" ? restore(self) : refused(error, id),
            onSuccess: (admission) => {
              if (alone && !admission.probe && successesInRow >= window) calm ??= { admission, untold: 0 }
              const run = Effect.onExitPrimitive(restore(self), (exit) => settle(key, admission, classify(exit)))
              return admission.transition === undefined ? run : Effect.andThen(changed(admission.transition), run)
            }
          })
        )
        // A store may tie a probe's lease to the scope of the call.
        return Effect.scoped(admitted)
      }

      const guard = <A, E extends RefreshError>(
        self: Effect.Effect<A, E>,
        id: ConnectedAccountId,
        key: string
      ): Effect.Effect<A, E | RefusedLocally> =>
        Effect.suspend(() => {
          if (calm === undefined) return throughStore(self, id, key)
          const { admission } = calm
          return Effect.onExitPrimitive(self, (exit) => settle(key, admission, classify(exit)))
        })
      return {
        refresh: (id, options) => guard(next.refresh(id, options), id, keyOf(id, options)),
        get: (id) => guard(next.get(id), id, keyOf(id))
      }
    })
  )
}
