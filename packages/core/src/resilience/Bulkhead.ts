/**
 * The bulkhead: it limits the calls in flight and the calls in its queue. A call beyond both limits is refused at once.
 *
 * The queue has to be bounded. With an unbounded queue and a slow server, every caller waits until its deadline, and the calls that are then sent
 * have no caller any more. Reads and refreshes share the limits, because they share the connection.
 *
 * @module
 */
import { type Context, Effect } from "effect"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import { RefusedLocally } from "../RefreshError.ts"
import { Events } from "./Events.ts"
import { type Call, withCall } from "./internal/Call.ts"
import * as Metrics from "./Metrics.ts"
import { type Policy, policy } from "./Policy.ts"

/** The limits of a bulkhead. */
export interface BulkheadOptions {
  /** The number of calls in flight. */
  readonly concurrency: number
  /** The number of calls that may wait in the queue. Default 0. */
  readonly queue?: number | undefined
}

/**
 * Limits concurrency. A refused call fails with `RefusedLocally`, reason `queue-full`.
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
      // A call that ends passes its place to the first in the queue, so that no new call takes it before.
      const leave = () => {
        const [first] = waiting
        if (first === undefined) taken--
        else first()
        return undefined
      }
      /** Waits in the queue. `enter` runs when a place is passed on, so that the place is never without an owner. */
      const turn = (call: Call, context: Context.Context<never>, enter: () => void): Effect.Effect<void> =>
        Effect.callback((resume) => {
          const move = (change: 1 | -1) => Metrics.queueDepth.modifyUnsafe(change, context)
          const leaveQueue = () => waiting.delete(next) && move(-1)
          const next = () => {
            leaveQueue()
            enter()
            // It yields first, because calls that end synchronously would grow the stack.
            resume(Effect.map(Effect.yieldNow, () => void (call.held = false)))
          }
          waiting.add(next)
          move(1)
          call.held = true
          return Effect.sync(leaveQueue)
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
                message: `The bulkhead is full: ${concurrency} in flight, ${queue} waiting`,
                reason: "queue-full"
              })
            }
            return withCall((call, { context }) =>
              Effect.andThen(
                turn(call, context, () => void (inside = true)),
                self
              )
            )
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
