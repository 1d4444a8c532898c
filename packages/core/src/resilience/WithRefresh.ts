/**
 * Runs a call; if its credential is refused, refreshes once and runs the call again.
 *
 * A hundred calls that fail with the same credential need one refresh. Calls that fail during a refresh wait for it. A call that started before a
 * refresh completed, and fails after it, used the old credential. It does not refresh again, and runs again with the new one. This is decided by
 * a count of completed refreshes, and not by clocks.
 *
 * **Gotchas**
 *
 * - Calls share a refresh within one process, one `ConnectedAccounts` and one `CurrentProject`. An account is remembered only while a call
 *   on it runs.
 * - The refresh is detached, so a caller who leaves does not interrupt it. Its time is limited only by `ConnectedAccounts`: use a `deadline` policy.
 * - Callers with other options wait for the refresh too. A new credential serves all of them. A link or a failure is only for callers with the same
 *   options.
 *
 * @module
 */
import { type Context, Effect, Exit, Fiber } from "effect"
import type { ConnectedAccountId } from "../ConnectedAccount.ts"
import { ConnectedAccounts, type RefreshOptions } from "../ConnectedAccounts.ts"
import type { RefreshError } from "../RefreshError.ts"
import type { RefreshOutcome } from "../RefreshOutcome.ts"
import { ConnectionNotReady, ConsentRequired } from "./Consent.ts"
import { flightKey } from "./internal/flightKey.ts"
import type { Accounts } from "./Policy.ts"

/** Which failures call for a refresh, and with which options. */
export interface WithRefreshOptions<E> {
  /**
   * Whether a failure means that the credential was refused, such as a 401 of the third party. A `ConnectionNotReady` of the same account, with
   * which `accessToken` fails, always leads to a refresh. Default: no other failure does.
   */
  readonly isAuthFailure?: ((error: E) => boolean) | undefined
  /** Options of the refresh. A `deadline` limits the shared refresh for all callers, so leave it out unless all have the same. */
  readonly refresh?: RefreshOptions | undefined
}

interface Entry {
  callers: number
  /** Refreshes completed since the entry was made. */
  generation: number
  flight: Flight | undefined
}

interface Flight {
  readonly key: string
  readonly fiber: Fiber.Fiber<RefreshOutcome, RefreshError>
}

/** By account and project. */
type Entries = Map<string, Entry>

const entriesOf = new WeakMap<Accounts, Entries>()

/**
 * Runs `effect`. On an auth failure, or if the account has no usable credential, it refreshes `accountId` once and runs `effect` again. Concurrent
 * calls share the refresh. A second auth failure is returned as it is.
 *
 * Fails with `ConsentRequired` if a person has to consent, `ConnectionNotReady` if the account cannot be used, the error of the refresh, or the
 * error of `effect`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccountId, ConnectedAccounts, Ready, Resilience } from "@rekindle/core"
 * import { Effect, Layer } from "effect"
 *
 * let token = "stale"
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: (id) =>
 *     Effect.sync(() => {
 *       token = "fresh"
 *       return Ready.make({ id })
 *     }),
 *   get: () => Effect.die("not used here")
 * })
 * const listMessages = Effect.suspend(() =>
 *   token === "fresh" ? Effect.succeed(["hello"]) : Effect.fail({ status: 401 })
 * )
 *
 * const messages = await Resilience.withRefresh(ConnectedAccountId.make("ca_4CkFF_cKATwg"), listMessages, {
 *   isAuthFailure: (error) => error.status === 401
 * }).pipe(Effect.provide(provider), Effect.runPromise)
 * assert.deepEqual(messages, ["hello"])
 * ```
 */
export const withRefresh = <A, E, R>(
  accountId: ConnectedAccountId,
  effect: Effect.Effect<A, E, R>,
  options: WithRefreshOptions<E> = {}
): Effect.Effect<A, E | RefreshError | ConsentRequired | ConnectionNotReady, R | ConnectedAccounts> =>
  Effect.flatMap(ConnectedAccounts, (accounts) =>
    // Uninterruptible, so that every caller that is counted is also uncounted.
    Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber) => {
        const entries = entriesFor(accounts)
        const name = flightKey(fiber, accountId, undefined)
        const entry = entries.get(name) ?? { callers: 0, generation: 0, flight: undefined }
        entries.set(name, entry)
        entry.callers++
        const forget = () => {
          if (entry.callers === 0 && entry.flight === undefined) entries.delete(name)
        }
        const renew = renewal(entry, accounts, accountId, forget)
        const run = effect.pipe(
          Effect.catch((error): Effect.Effect<A, E | RefreshError | ConsentRequired | ConnectionNotReady, R> =>
            isNotReady(error, accountId)
              ? Effect.flatMap(renew(options.refresh), () => effect)
              : options.isAuthFailure?.(error) === true
                ? Effect.flatMap(renew({ ...options.refresh, tokenRefused: true }), () => effect)
                : Effect.fail(error)
          )
        )
        return Effect.onExitPrimitive(restore(run), () => {
          entry.callers--
          forget()
          return undefined
        })
      })
    )
  )

/** Whether a failure says that this account has no usable credential. A failure of another account does not count. */
const isNotReady = (error: unknown, accountId: ConnectedAccountId): boolean =>
  error instanceof ConnectionNotReady && error.accountId === accountId

const entriesFor = (accounts: Accounts): Entries => {
  let entries = entriesOf.get(accounts)
  if (entries === undefined) {
    entries = new Map()
    entriesOf.set(accounts, entries)
  }
  return entries
}

/** Refreshes for one caller. It does nothing if a refresh completed since the caller began, and joins one in flight. Otherwise it starts one. */
const renewal = (entry: Entry, accounts: Accounts, accountId: ConnectedAccountId, onEnd: () => void) => {
  const began = entry.generation
  const depart = (key: string, context: Context.Context<never>, options: RefreshOptions | undefined): Flight => {
    const fiber = Effect.runForkWith(context)(accounts.refresh(accountId, options))
    const flight = { key, fiber }
    entry.flight = flight
    fiber.addObserver((exit) => {
      entry.flight = undefined
      if (Exit.isSuccess(exit) && exit.value._tag === "Ready") entry.generation++
      onEnd()
    })
    return flight
  }
  const renew = (
    options: RefreshOptions | undefined
  ): Effect.Effect<void, RefreshError | ConsentRequired | ConnectionNotReady> =>
    Effect.withFiber((fiber) => {
      if (entry.generation > began) return Effect.void
      const key = flightKey(fiber, accountId, options)
      const flight = entry.flight ?? depart(key, fiber.context, options)
      return flight.key === key
        ? Effect.flatMap(Fiber.join(flight.fiber), (outcome) => usable(accountId, outcome))
        : Effect.flatMap(Fiber.await(flight.fiber), () => renew(options))
    })
  return renew
}

const usable = (
  accountId: ConnectedAccountId,
  outcome: RefreshOutcome
): Effect.Effect<void, ConsentRequired | ConnectionNotReady> => {
  switch (outcome._tag) {
    case "Ready":
      return Effect.void
    case "RedirectRequired":
      return new ConsentRequired({ accountId, redirectUrl: outcome.redirectUrl, status: outcome.status })
    case "NotReady":
      return new ConnectionNotReady({ accountId, status: outcome.status })
  }
}
