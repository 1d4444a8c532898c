/**
 * The rate limit: it limits the calls in a window of time, with Effect's `RateLimiter`.
 *
 * It keeps a client below a known limit of the other side, so that 429 is rare. A call over the limit waits for its turn if its deadline
 * allows that, and is refused at once otherwise. The limiter counts a call when it is asked. If that call is refused, or leaves while it
 * waits, its turn goes to the next call; otherwise calls that were never sent could use up the limit for hours.
 *
 * **Gotchas**
 *
 * - If the store of the limiter cannot be reached, calls pass.
 * - A limit in memory is removed when it is full again. So one limit for each of a million accounts takes memory only for those with recent calls.
 *
 * @module
 */
import { Clock, Duration, Effect, type Fiber, Option } from "effect"
import * as Limiter from "effect/persistence/RateLimiter"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import * as MonotonicClock from "../MonotonicClock.ts"
import { RefusedLocally } from "../RefreshError.ts"
import { Events } from "./Events.ts"
import { type Expiring, ExpiringMap } from "./ExpiringMap.ts"
import { withCall } from "./internal/Call.ts"
import { type Policy, policy } from "./Policy.ts"

/** The number of calls in a window, and which calls share a limit. */
export interface RateLimitOptions {
  /** The number of calls in a window. */
  readonly limit: number
  /** The length of a window. */
  readonly window: Duration.Input
  /** `"token-bucket"` spreads calls evenly after an initial burst; `"fixed-window"` counts in windows, one after another. Default `"token-bucket"`. */
  readonly algorithm?: "token-bucket" | "fixed-window" | undefined
  /** How long a call may wait for its turn. Default: until its deadline. */
  readonly maxDelay?: Duration.Input | undefined
  /** Distinguishes limits in one store. Default `"rekindle"`. */
  readonly name?: string | undefined
  /** `"provider"`: one limit for all calls; `"account"`: one for each account. Default `"provider"`. */
  readonly key?: "provider" | "account" | undefined
}

/** One limit. It expires when it is full again. */
interface Limit extends Expiring {
  readonly limiter: Pick<Limiter.RateLimiter, "consume">
  /** Turns that were taken and will not be used, in order, in monotonic milliseconds. */
  readonly spare: Array<number>
}

/** Effect's memory store never removes a key. So each limit has its own store, which is removed with it. */
const ownLimiter = Effect.map(
  Effect.provide(Limiter.make, Limiter.layerStoreMemory),
  ({ consume }): Pick<Limiter.RateLimiter, "consume"> => ({
    consume: (options) => MonotonicClock.within(consume(options))
  })
)

/**
 * Limits the rate of calls. A refused call fails with `RefusedLocally`, reason `rate-limited`, with `retryAfter`. The store is in memory, unless a
 * `RateLimiterStore` is provided to the pipeline.
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
 *   assert.equal(refused._tag === "RefusedLocally" && refused.reason, "rate-limited")
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
      const given = yield* Effect.serviceOption(Limiter.RateLimiterStore)
      const shared = Option.isNone(given)
        ? undefined
        : yield* Effect.provideService(Limiter.make, Limiter.RateLimiterStore, given.value)
      const limits = new ExpiringMap<Limit>()
      const limitOf = (name: string, now: number): Limit => {
        const known = limits.get(name, now)
        if (known !== undefined) return known
        const fresh: Limit = { limiter: shared ?? Effect.runSync(ownLimiter), spare: [], until: now + window }
        limits.set(name, fresh, now)
        return fresh
      }
      /** The time of this call's turn: a spare turn, or the next one of the limiter. */
      const turnOf = (of: Limit, name: string, fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<number> => {
        const { spare } = of
        // An unused turn is good for one window, as it would be with a limiter that was never asked.
        const lost = nowOf(fiber) - window
        while (spare[0] !== undefined && spare[0] <= lost) spare.shift()
        const turn = spare.shift()
        if (turn !== undefined) return Effect.succeed(turn)
        return Effect.match(of.limiter.consume({ algorithm, limit, window, onExceeded: "delay", key: name }), {
          onSuccess: ({ delay, resetAfter }) => {
            const now = nowOf(fiber)
            of.until = Math.max(of.until, now + Duration.toMillis(resetAfter))
            return now + Duration.toMillis(delay)
          },
          onFailure: () => 0
        })
      }
      const giveBack = (of: Limit, turn: number) => {
        of.spare.splice(of.spare.findLastIndex((other) => other <= turn) + 1, 0, turn)
      }

      const space = <A, E>(
        self: Effect.Effect<A, E>,
        id: ConnectedAccountId,
        options?: RefreshOptions
      ): Effect.Effect<A, E | RefusedLocally> =>
        Effect.withFiber((fiber) => {
          const limitName = key === "account" ? `${name}:${id}` : name
          const of = limitOf(limitName, nowOf(fiber))
          return Effect.flatMap(turnOf(of, limitName, fiber), (turn) => {
            const now = nowOf(fiber)
            if (turn <= now) return self
            return withCall((call): Effect.Effect<A, E | RefusedLocally> => {
              const delay = turn - now
              const left =
                options?.deadline === undefined
                  ? Infinity
                  : options.deadline.epochMilliseconds - fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
              if (delay > maxDelay || delay >= left) {
                giveBack(of, turn)
                events?.publish({ _tag: "Refused", accountId: id, reason: "rate-limited" })
                return new RefusedLocally({
                  message: `More than ${limit} calls in ${window} ms`,
                  reason: "rate-limited",
                  retryAfter: Duration.millis(delay)
                })
              }
              call.held = true
              return Effect.flatMap(
                Effect.onInterrupt(Effect.sleep(delay), () => Effect.sync(() => giveBack(of, turn))),
                () => {
                  call.held = false
                  return self
                }
              )
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

const nowOf = (fiber: Fiber.Fiber<unknown, unknown>): number => MonotonicClock.millisUnsafe(fiber.getRef(Clock.Clock))
