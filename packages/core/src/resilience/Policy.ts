/**
 * A resilience policy is a value: a name, its options as plain data, and a function from one `ConnectedAccounts` to another.
 *
 * All providers have the same interface, so every policy fits every provider, and a pipeline is a list of policies.
 *
 * **Gotchas**
 *
 * - `compose` takes policies outermost first, in the order in which a call passes them.
 * - The state of a policy (a breaker's counters, a bulkhead's queue) is created by `make`. Two layers from one policy value share no state,
 *   unless they share a store.
 *
 * @module
 */
import { Effect, Layer, type Schema, type Scope } from "effect"
import { ConnectedAccounts } from "../ConnectedAccounts.ts"

/** The `ConnectedAccounts` service, which a policy decorates. */
export type Accounts = ConnectedAccounts["Service"]

/** One stage of a pipeline as plain data. Durations are milliseconds. */
export interface Description {
  readonly policy: string
  readonly options: { readonly [option: string]: Schema.Json }
}

/** A decorator of `ConnectedAccounts` that describes itself. `R` are the services that `make` needs; by default a scope for its state. */
export interface Policy<out R = Scope.Scope> {
  readonly name: string
  /** The stages, outermost first, as plain data to print or to assert on. */
  readonly describe: () => ReadonlyArray<Description>
  /** Creates the policy's state and decorates `next`. */
  readonly make: (next: Accounts) => Effect.Effect<Accounts, never, R>
}

/**
 * Makes your own policy.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * const seen: Array<string> = []
 * const audit = Resilience.policy("audit", {}, (next) =>
 *   Effect.succeed({
 *     ...next,
 *     refresh: (id, options) => {
 *       seen.push(id)
 *       return next.refresh(id, options)
 *     }
 *   })
 * )
 *
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) => Effect.succeed(Ready.make({ id })),
 *   get: () => Effect.die("not used here")
 * })
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 *
 * await ConnectedAccounts.use((accounts) => accounts.refresh(id)).pipe(
 *   Effect.provide(Resilience.layer(audit).pipe(Layer.provide(provider))),
 *   Effect.runPromise
 * )
 * assert.deepEqual(seen, [id])
 * ```
 */
export const policy = <R = Scope.Scope>(
  name: string,
  options: Description["options"],
  make: Policy<R>["make"]
): Policy<R> => ({ name, describe: () => [{ policy: name, options }], make })

type Needs<Policies extends ReadonlyArray<Policy<unknown>>> = {
  [K in keyof Policies]: Policies[K] extends Policy<infer R> ? R : never
}[number]

/**
 * Composes policies, outermost first: a call passes them from left to right. A composed pipeline is a policy again.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Resilience } from "@rekindle/core"
 *
 * const inner = Resilience.compose(Resilience.retry(), Resilience.attemptTimeout("5 seconds"))
 * const pipeline = Resilience.compose(Resilience.deadline("20 seconds"), inner)
 *
 * assert.deepEqual(
 *   pipeline.describe().map((stage) => stage.policy),
 *   ["deadline", "retry", "attempt-timeout"]
 * )
 * ```
 */
export function compose<const Policies extends ReadonlyArray<Policy<unknown>>>(
  ...policies: Policies
): Policy<Needs<Policies>>
export function compose(...policies: ReadonlyArray<Policy<unknown>>): Policy<unknown> {
  return {
    name: "pipeline",
    describe: () => policies.flatMap((stage) => stage.describe()),
    make: (next) =>
      Effect.reduce(
        policies.toReversed(),
        () => next,
        (accounts, stage) => stage.make(accounts)
      )
  }
}

/** A layer that decorates `ConnectedAccounts` with `policy`. */
export const layer = <R>(
  policy: Policy<R>
): Layer.Layer<ConnectedAccounts, never, ConnectedAccounts | Exclude<R, Scope.Scope>> =>
  Layer.effect(ConnectedAccounts, Effect.flatMap(ConnectedAccounts, policy.make))
