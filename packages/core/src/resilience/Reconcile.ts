/**
 * Looking before sending again. After an ambiguous attempt the account itself knows what happened: read it, and if it has moved on
 * since the attempt began, that is the answer.
 *
 * "Moved on" is the delicate word, because the server's `updatedAt` and our clock are two clocks. The rule:
 *
 * 1. If the account was read earlier in the same call (before the first attempt with `baseline: "read"`, or by the look that allowed
 *    the re-send), the two readings are compared with each other: a later `updatedAt` or another status means it moved. No clock of
 *    ours is involved.
 * 2. Otherwise it moved if `updatedAt` is later than the attempt's start by our clock less `clockSkew`. A server clock that runs
 *    behind by up to `clockSkew` is forgiven. The price: somebody else's update within twice that time before the attempt is taken for
 *    ours. That credential is seconds old, which is what the caller asked for. An update later than our own time by more than
 *    `clockSkew` shows that the server's clock runs ahead; such a reading neither answers nor allows a re-send. A clock that runs
 *    further behind cannot be told from an account that has not moved: that is what `baseline: "read"` is for.
 *
 * A later status `ACTIVE` is `Ready`. `INITIATED` and `INITIALIZING` are no answers even if they moved: a person has to consent and only
 * a refresh hands out the link, and there is no credential to burn, so it may be sent again. Any other status is `NotReady`.
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

/** How an account is told to have moved on. */
export interface ReconcileOptions {
  /**
   * What a look compares with. `"clock"` (default) costs nothing until something goes wrong; `"read"` reads the account before every
   * refresh, for servers whose clock cannot be trusted at all.
   */
  readonly baseline?: "clock" | "read" | undefined
  /** How far the server's clock and ours may be apart. Default 2 seconds. */
  readonly clockSkew?: Duration.Input | undefined
}

/** What is known of the account from before the attempt. */
export interface Before {
  /** When the attempt began, by our clock, in epoch milliseconds. */
  readonly startedAt: number
  /** The account as read earlier in this call, if it was. */
  readonly seen: ConnectedAccount | undefined
}

/** What a look found. */
export type Look =
  | { readonly _tag: "Moved"; readonly outcome: RefreshOutcome }
  | { readonly _tag: "Unmoved"; readonly account: ConnectedAccount }
  | { readonly _tag: "Unknown" }

const unknown: Look = { _tag: "Unknown" }

/** Whether `account`, read at `now`, has moved on. The module header gives the rule. */
export const judge = (account: ConnectedAccount, before: Before, clockSkew: number, now: number): Look => {
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

/** Reads the account and judges it. A read that fails leaves the matter `Unknown`. */
export const look = (
  accounts: Accounts,
  id: ConnectedAccountId,
  before: Before,
  clockSkew: number,
  events: EventBus | undefined
): Effect.Effect<Look> =>
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

/** The reading that precedes the first attempt, if `options` ask for one and it succeeds. */
export const firstReading = (accounts: Accounts, id: ConnectedAccountId): Effect.Effect<ConnectedAccount | undefined> =>
  Effect.map(Effect.result(accounts.get(id)), (read) => (Result.isSuccess(read) ? read.success : undefined))

/** The options with their defaults, as plain data. */
export const describeReconcile = (options: ReconcileOptions | undefined) => ({
  baseline: options?.baseline ?? "clock",
  clockSkew: Duration.toMillis(options?.clockSkew ?? "2 seconds")
})

/**
 * Turns an ambiguous failure into the answer the account itself gives, and never sends anything. `retry` does the same before each
 * re-send, so a pipeline needs this stage only where nothing is retried.
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
 * // The refresh works; its answer is lost on the way back.
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
      const lookInto = (id: ConnectedAccountId, before: Before, error: RefreshError) =>
        Effect.flatMap(look(next, id, before, described.clockSkew, events), (found) =>
          found._tag === "Moved" ? Effect.succeed(found.outcome) : Effect.fail(error)
        )
      const attempt = (id: ConnectedAccountId, options: RefreshOptions | undefined, seen: Before["seen"]) =>
        Effect.clockWith((clock) => {
          const before = { startedAt: clock.currentTimeMillisUnsafe(), seen }
          return next
            .refresh(id, options)
            .pipe(
              Effect.catch((error) =>
                error.disposition === "ambiguous" ? lookInto(id, before, error) : Effect.fail(error)
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
