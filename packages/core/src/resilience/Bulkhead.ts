/**
 * The bulkhead: so many calls at once, so many waiting, and the next is refused at once.
 *
 * The bounded queue is the point. An unbounded one turns a slow server into a slow client that holds every caller until its deadline,
 * and then sends what nobody waits for any more. Reads and refreshes share the places, as they share the connection.
 *
 * @module
 */
import { Effect } from "effect"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import { RefusedLocally } from "../RefreshError.ts"
import { Events } from "./Events.ts"
import { withCall } from "./internal/Call.ts"
import * as Metrics from "./Metrics.ts"
import { type Policy, policy } from "./Policy.ts"

/** How many calls may be under way, and how many may wait. */
export interface BulkheadOptions {
  /** Calls on their way at once. */
  readonly concurrency: number
  /** Calls that may wait for a place. Default 0. */
  readonly queue?: number | undefined
}

/**
 * Bounds concurrency. Refuses with `RefusedLocally`, reason `queue-full`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * const slow = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.delay(Effect.succeed(Ready.make({ id })), "5 millis"),
 *   get: () => Effect.die("not used here")
 * })
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *
 * const results = await ConnectedAccounts.use((accounts) =>
 *   Effect.all([1, 2, 3].map(() => Effect.result(accounts.refresh(id))), { concurrency: "unbounded" })
 * ).pipe(
 *   Effect.provide(Resilience.layer(Resilience.bulkhead({ concurrency: 1, queue: 1 })).pipe(Layer.provide(slow))),
 *   Effect.runPromise
 * )
 * assert.deepEqual(results.map((result) => result._tag), ["Success", "Success", "Failure"])
 * ```
 */
export const bulkhead = (options: BulkheadOptions): Policy => {
  const { concurrency, queue = 0 } = options
  return policy("bulkhead", { concurrency, queue }, (next) =>
    Effect.gen(function* () {
      const events = yield* Events
      const waiting = new Set<() => void>()
      let taken = 0
      // Whoever leaves hands the place to the first in the queue, so that no newcomer takes it before.
      const leave = () => {
        const first = waiting.values().next()
        if (first.done === true) {
          taken--
        } else {
          waiting.delete(first.value)
          // Not at once: calls that end as they begin would pile up on the stack.
          queueMicrotask(first.value)
        }
        return undefined
      }
      const turn = (report: (change: 1 | -1) => void): Effect.Effect<void> =>
        Effect.callback((resume) => {
          const enter = () => {
            report(-1)
            resume(Effect.void)
          }
          waiting.add(enter)
          report(1)
          return Effect.sync(() => {
            // If it is not in the queue any more it holds a place that it is not going to use.
            if (waiting.delete(enter)) report(-1)
            else leave()
          })
        })
      const admit = <A, E>(self: Effect.Effect<A, E>, id: ConnectedAccountId): Effect.Effect<A, E | RefusedLocally> =>
        Effect.suspend(() => {
          let inside = false
          const run = Effect.suspend((): Effect.Effect<A, E | RefusedLocally> => {
            if (taken < concurrency) {
              taken++
              inside = true
              return self
            }
            if (waiting.size >= queue) {
              events?.publish({ _tag: "Refused", accountId: id, reason: "queue-full" })
              return new RefusedLocally({
                message: `${concurrency} calls on their way and ${queue} waiting`,
                reason: "queue-full"
              })
            }
            return withCall((call, { context }) => {
              const report = (change: 1 | -1) => Metrics.queueDepth.modifyUnsafe(change, context)
              call.held = true
              return Effect.flatMap(turn(report), () => {
                call.held = false
                inside = true
                return self
              })
            })
          })
          return Effect.onExitPrimitive(run, () => (inside ? leave() : undefined))
        })
      return {
        refresh: (id, options) => admit(next.refresh(id, options), id),
        get: (id) => admit(next.get(id), id)
      }
    })
  )
}
