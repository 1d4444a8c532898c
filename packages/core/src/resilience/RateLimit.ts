/**
 * The rate limit: so many calls in a window, by Effect's `RateLimiter`.
 *
 * It keeps a client below a limit that the other side is known to enforce, so that 429 stays the exception. A call over the limit waits
 * its turn if its deadline allows and is refused at once if not. What may surprise: a refused call has used up its turn, as the
 * limiter counts on asking. If the limiter's store is out of reach, calls pass: losing the limiter must not stop refreshes.
 *
 * @module
 */
import { Clock, Duration, Effect } from "effect"
import * as Limiter from "effect/persistence/RateLimiter"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import { TransportError } from "../RefreshError.ts"
import { Events } from "./Events.ts"
import { withCall } from "./internal/Call.ts"
import { storeOr } from "./internal/storeOr.ts"
import { type Policy, policy } from "./Policy.ts"

export interface RateLimitOptions {
  /** Calls in each window. */
  readonly limit: number
  readonly window: Duration.Input
  /** `"token-bucket"` (default) spreads them evenly after an initial burst; `"fixed-window"` counts by the clock. */
  readonly algorithm?: "token-bucket" | "fixed-window"
  /** The longest a call waits for its turn. Default: until its deadline. */
  readonly maxDelay?: Duration.Input
  /** Keeps limits apart in one store. Default `"rekindle"`. */
  readonly name?: string
  /** `"provider"` (default): one limit for all calls; `"account"`: one for each account. */
  readonly key?: "provider" | "account"
}

/**
 * Spaces calls out. Refuses with `TransportError` reason `rate-limited`, `not-sent`, `retryAfter` set. The store is in memory unless a
 * `RateLimiterStore` is provided where the pipeline is made.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.succeed(Ready.make({ id })),
 *   get: () => Effect.die("not used here")
 * })
 * const limit = Resilience.rateLimit({ limit: 1, window: "1 hour", maxDelay: 0 })
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *   yield* accounts.refresh(id)
 *   const refused = yield* Effect.flip(accounts.refresh(id))
 *   assert.equal(refused._tag === "TransportError" && refused.reason, "rate-limited")
 * })
 *
 * await program.pipe(Effect.provide(Resilience.layer(limit).pipe(Layer.provide(provider))), Effect.runPromise)
 * ```
 */
export const rateLimit = (options: RateLimitOptions): Policy => {
  const { algorithm = "token-bucket", key = "provider", limit, name = "rekindle" } = options
  const window = Duration.toMillis(options.window)
  const maxDelay = options.maxDelay === undefined ? Infinity : Duration.toMillis(options.maxDelay)
  const description = { limit, window, algorithm, name, key, maxDelay: maxDelay === Infinity ? null : maxDelay }
  return policy("rate-limit", description, (next) =>
    Effect.gen(function* () {
      const events = yield* Events
      const store = yield* storeOr(Limiter.RateLimiterStore, Limiter.layerStoreMemory)
      const limiter = yield* Effect.provideService(Limiter.make, Limiter.RateLimiterStore, store)
      const delayFor = (id: ConnectedAccountId): Effect.Effect<number> =>
        Effect.match(
          limiter.consume({
            algorithm,
            limit,
            window,
            onExceeded: "delay",
            key: key === "account" ? `${name}:${id}` : name
          }),
          { onSuccess: (turn) => Duration.toMillis(turn.delay), onFailure: () => 0 }
        )
      const space = <A, E>(
        self: Effect.Effect<A, E>,
        id: ConnectedAccountId,
        options?: RefreshOptions
      ): Effect.Effect<A, E | TransportError> =>
        Effect.flatMap(delayFor(id), (delay) => {
          if (delay <= 0) return self
          return withCall((call, fiber): Effect.Effect<A, E | TransportError> => {
            const left =
              options?.deadline === undefined
                ? Infinity
                : options.deadline.epochMilliseconds - fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
            if (delay > maxDelay || delay >= left) {
              events?.publish({ _tag: "Refused", accountId: id, reason: "rate-limited" })
              return new TransportError({
                message: `More than ${limit} calls in ${window} ms`,
                reason: "rate-limited",
                disposition: "not-sent",
                retryAfter: Duration.millis(delay)
              })
            }
            call.held = true
            return Effect.flatMap(Effect.sleep(delay), () => {
              call.held = false
              return self
            })
          })
        })
      return {
        refresh: (id, options) => space(next.refresh(id, options), id, options),
        get: (id) => space(next.get(id), id)
      }
    })
  )
}
