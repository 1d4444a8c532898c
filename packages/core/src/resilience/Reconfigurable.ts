/**
 * A pipeline that can be replaced while it runs, for example with a new timeout from a config service, or without retries during an incident.
 *
 * Calls that start after a swap use the new pipeline. Calls in flight end on the old one, whose state is released after the last of them.
 * Neither that call nor the swap waits for the release. Closing the layer does.
 *
 * **Gotchas**
 *
 * The new pipeline starts with new state (closed circuits, a full bucket), except for state in a store or a shared retry budget.
 *
 * @module
 */
import { Effect, Exit, Scope, Semaphore } from "effect"
import type { Accounts, Policy } from "./Policy.ts"

/** A handle: use `policy` in a layer, and call `swap` when the configuration changes. */
export interface Reconfigurable<R = Scope.Scope> {
  /** The policy that delegates to the present pipeline. `describe` describes that pipeline. */
  readonly policy: Policy<R | Scope.Scope>
  /** Replaces the pipeline in every layer that was made from `policy`. */
  readonly swap: (next: Policy<R>) => Effect.Effect<void>
}

interface Generation {
  readonly accounts: Accounts
  readonly scope: Scope.Closeable
  calls: number
  retired: boolean
}

/**
 * Makes a pipeline replaceable. Call `swap` when the configuration changes, e.g. in `Stream.runForEach(SubscriptionRef.changes(ref), …)`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Resilience, TransportError } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * let sends = 0
 * const down = Layer.succeed(ConnectedAccounts, {
 *   refresh: () =>
 *     Effect.suspend(() => {
 *       sends++
 *       return new TransportError({ message: "refused", reason: "connect" })
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 * const handle = Resilience.reconfigurable(Resilience.retry({ maxAttempts: 2, baseDelay: "1 millis" }))
 *
 * const program = Effect.gen(function* () {
 *   const accounts = yield* ConnectedAccounts
 *   const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *   yield* Effect.flip(accounts.refresh(id))
 *   assert.equal(sends, 2)
 *   yield* handle.swap(Resilience.retry({ maxAttempts: 1 }))
 *   yield* Effect.flip(accounts.refresh(id))
 *   assert.equal(sends, 3)
 * })
 *
 * await program.pipe(Effect.provide(Resilience.layer(handle.policy).pipe(Layer.provide(down))), Effect.runPromise)
 * ```
 */
export const reconfigurable = <R = Scope.Scope>(initial: Policy<R>): Reconfigurable<R> => {
  let current = initial
  const installs = new Set<(next: Policy<R>) => Effect.Effect<void>>()
  const swaps = Semaphore.makeUnsafe(1)

  const make = (next: Accounts): Effect.Effect<Accounts, never, R | Scope.Scope> =>
    Effect.gen(function* () {
      const context = yield* Effect.context<R>()
      const outer = yield* Effect.scope
      const build = (policy: Policy<R>): Effect.Effect<Generation> =>
        Effect.gen(function* () {
          const scope = yield* Scope.fork(outer)
          const accounts = yield* policy.make(next).pipe(Scope.provide(scope), Effect.provide(context))
          return { accounts, scope, calls: 0, retired: false }
        })
      const release = (generation: Generation) =>
        generation.retired && generation.calls === 0
          ? Effect.forkIn(Effect.uninterruptible(Scope.close(generation.scope, Exit.void)), outer, {
              startImmediately: true
            })
          : undefined
      const enter = <A, E>(use: (accounts: Accounts) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
        // Uninterruptible, so that every call that is counted is also uncounted.
        Effect.uninterruptibleMask((restore) => {
          const generation = now
          generation.calls++
          return Effect.onExitPrimitive(restore(use(generation.accounts)), () => {
            generation.calls--
            return release(generation)
          })
        })

      let now = yield* build(current)
      const install = (policy: Policy<R>) =>
        Effect.flatMap(build(policy), (generation) => {
          const old = now
          now = generation
          old.retired = true
          return release(old) ?? Effect.void
        })
      yield* Effect.acquireRelease(
        Effect.sync(() => installs.add(install)),
        () => Effect.sync(() => installs.delete(install))
      )
      const accounts: Accounts = {
        refresh: (id, options) => enter((accounts) => accounts.refresh(id, options)),
        get: (id) => enter((accounts) => accounts.get(id))
      }
      return accounts
      // A swap during `make` would miss this layer.
    }).pipe(swaps.withPermit)

  return {
    policy: { name: "reconfigurable", describe: () => current.describe(), make },
    swap: (next) =>
      Effect.suspend(() => {
        current = next
        return Effect.forEach([...installs], (install) => install(next), { discard: true })
      }).pipe(swaps.withPermit, Effect.uninterruptible)
  }
}
