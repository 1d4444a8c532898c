/**
 * Reads the account after an ambiguous attempt. If the account has changed since the attempt started, its state is the answer.
 *
 * The server's `updatedAt` and our clock are two clocks, so "changed" has a rule:
 *
 * 1. If the account was read earlier in the same call, the two readings are compared: before the first attempt with `baseline: "read"`, or before a
 *    repeated attempt. The account has changed if `updatedAt` is later or the status differs. Our clock is not used.
 * 2. Otherwise it has changed if `updatedAt` is later than the start of the attempt by our clock, less `clockSkew`. So a server clock may
 *    be behind by up to `clockSkew`. As a consequence, another caller's update within twice that time before the attempt counts as ours.
 *    Its credential is seconds old, so it serves the caller as well.
 * 3. If `updatedAt` is later than our time by more than `clockSkew`, the server's clock is ahead. Such a reading is no answer and allows no repeat.
 *
 * **Gotchas**
 *
 * - With a server clock that is further behind, a changed account looks unchanged. Use `baseline: "read"` for such servers.
 * - A changed account that is `ACTIVE` is `Ready`. `INITIATED` and `INITIALIZING` are no answers: a person has to consent, and only a
 *   refresh returns the link. There is no credential to lose, so the refresh may be sent again. Any other status is `NotReady`.
 *
 * @module
 */
import { Duration, Effect, Result } from "effect"
import type { ConnectedAccount, ConnectedAccountId } from "../ConnectedAccount.ts"
import type { RefreshOptions } from "../ConnectedAccounts.ts"
import type { RefreshError } from "../RefreshError.ts"
import { NotReady, Ready, type RefreshOutcome } from "../RefreshOutcome.ts"
import { type EventBus, Events } from "./Events.ts"
import { type Accounts, type Policy, policy } from "./Policy.ts"

/** How a change of the account is detected. */
export interface ReconcileOptions {
  /**
   * What a reading is compared with. `"clock"`: the start of the attempt, at no cost before a failure. `"read"`: a reading before every refresh,
   * for servers whose clock is not reliable. Default `"clock"`.
   */
  readonly baseline?: "clock" | "read" | undefined
  /** How far the server's clock and ours may differ. Default 2 seconds. */
  readonly clockSkew?: Duration.Input | undefined
}

/** The state before the attempt. */
export interface Before {
  /** When the attempt started by our clock, in epoch milliseconds. */
  readonly startedAt: number
  /** The account as it was read earlier in this call, if it was. */
  readonly seen: ConnectedAccount | undefined
}

/** The result of a reading: whether the account has changed. */
export type Comparison =
  | { readonly _tag: "Moved"; readonly outcome: RefreshOutcome }
  | { readonly _tag: "Unmoved"; readonly account: ConnectedAccount }
  | { readonly _tag: "Unknown" }

const unknown: Comparison = { _tag: "Unknown" }

/** Whether `account`, read at `now`, has changed. The module header has the rule. */
export const judge = (account: ConnectedAccount, before: Before, clockSkew: number, now: number): Comparison => {
  const { id, status } = account
  const updatedAt = account.updatedAt.epochMilliseconds
  const moved =
    before.seen === undefined
      ? updatedAt > before.startedAt - clockSkew
      : updatedAt > before.seen.updatedAt.epochMilliseconds || status !== before.seen.status
  if (!moved || status === "INITIATED" || status === "INITIALIZING") return { _tag: "Unmoved", account }
  if (before.seen === undefined && updatedAt > now + clockSkew) return unknown
  return { _tag: "Moved", outcome: status === "ACTIVE" ? Ready.make({ id }) : NotReady.make({ id, status }) }
}

const results = { Moved: "moved", Unmoved: "unmoved", Unknown: "unknown" } as const

/** Reads the account and judges it. After a failed read, the result is `Unknown`. */
export const readAfter = (
  accounts: Accounts,
  id: ConnectedAccountId,
  before: Before,
  clockSkew: number,
  events: EventBus | undefined
): Effect.Effect<Comparison> =>
  Effect.clockWith((clock) =>
    Effect.match(accounts.get(id), {
      onSuccess: (account) => {
        const found = judge(account, before, clockSkew, clock.currentTimeMillisUnsafe())
        events?.publish({ _tag: "Reconciled", accountId: id, result: results[found._tag], status: account.status })
        return found
      },
      onFailure: () => {
        events?.publish({ _tag: "Reconciled", accountId: id, result: "unknown" })
        return unknown
      }
    })
  )

/** The reading before the first attempt; `undefined` if it fails. */
export const firstReading = (accounts: Accounts, id: ConnectedAccountId): Effect.Effect<ConnectedAccount | undefined> =>
  Effect.map(Effect.result(accounts.get(id)), (read) => (Result.isSuccess(read) ? read.success : undefined))

/** The options with their defaults, as plain data. Durations are in milliseconds. */
export const describeReconcile = (options: ReconcileOptions | undefined) => ({
  baseline: options?.baseline ?? "clock",
  clockSkew: Duration.toMillis(options?.clockSkew ?? "2 seconds")
})

/**
 * Replaces an ambiguous failure with the state of the account, if it has changed. It never sends anything. `retry` does the same before each repeated
 * send, so a pipeline needs this stage only if it has no `retry`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccount, ConnectedAccountId, ConnectedAccounts, Resilience, TransportError } from "@rekindle/core"
 * import { Effect, Layer, Schema } from "effect"
 *
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 * const account = (updatedAt: number) =>
 *   Schema.decodeSync(ConnectedAccount)({
 *     id,
 *     status: "ACTIVE",
 *     status_reason: null,
 *     toolkit: { slug: "gmail" },
 *     auth_config: { id: "ac_1" },
 *     user_id: "user",
 *     is_disabled: false,
 *     created_at: new Date(0).toISOString(),
 *     updated_at: new Date(updatedAt).toISOString(),
 *     state: { authScheme: "OAUTH2", val: {} }
 *   })
 *
 * // The refresh succeeds, and its answer is lost.
 * let updatedAt = 0
 * const lossy = Layer.succeed(ConnectedAccounts, {
 *   refresh: () =>
 *     Effect.suspend(() => {
 *       updatedAt = Date.now()
 *       return new TransportError({ message: "reset", reason: "reset" })
 *     }),
 *   get: () => Effect.sync(() => account(updatedAt))
 * })
 *
 * const outcome = await ConnectedAccounts.use((accounts) => accounts.refresh(id)).pipe(
 *   Effect.provide(Resilience.layer(Resilience.reconcile()).pipe(Layer.provide(lossy))),
 *   Effect.runPromise
 * )
 * assert.equal(outcome._tag, "Ready")
 * ```
 */
export const reconcile = (options?: ReconcileOptions): Policy => {
  const described = describeReconcile(options)
  return policy("reconcile", described, (next) =>
    Effect.map(Events, (events) => {
      const reconciled = (id: ConnectedAccountId, before: Before, error: RefreshError) =>
        Effect.flatMap(readAfter(next, id, before, described.clockSkew, events), (found) =>
          found._tag === "Moved" ? Effect.succeed(found.outcome) : Effect.fail(error)
        )
      const attempt = (id: ConnectedAccountId, options: RefreshOptions | undefined, seen: Before["seen"]) =>
        Effect.clockWith((clock) => {
          const before = { startedAt: clock.currentTimeMillisUnsafe(), seen }
          return next
            .refresh(id, options)
            .pipe(
              Effect.catch((error) =>
                error.disposition === "ambiguous" ? reconciled(id, before, error) : Effect.fail(error)
              )
            )
        })
      return {
        get: next.get,
        refresh: (id, options) =>
          described.baseline === "read"
            ? Effect.flatMap(firstReading(next, id), (seen) => attempt(id, options, seen))
            : attempt(id, options, undefined)
      }
    })
  )
}
