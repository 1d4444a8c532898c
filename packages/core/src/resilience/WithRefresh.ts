/**
 * Run, and if the credential turns out to be dead, refresh once and run again: what every application writes by hand, usually without
 * the part that matters under load.
 *
 * A hundred calls that fail with the same stale credential need one refresh, not a hundred in a row. Calls that fail while a refresh
 * is on its way wait for it. A call that *began* before a refresh completed and fails after it used the older credential, so it does
 * not refresh again; it runs again with what the others fetched. That is decided by counting completed refreshes, not by clocks.
 *
 * What may surprise: it remembers an account only while a call on it is running, and the sharing is per `ConnectedAccounts` instance
 * and `CurrentProject`, within this process. The refresh itself is detached: a caller who leaves does not spoil it for the rest. It
 * takes as long as `ConnectedAccounts` lets it, so put a `deadline` there. Callers with other options wait for it too: a new credential
 * serves all, but a link or a failure only those who asked for the same.
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
   * Whether a failure means that the credential was refused (a 401 of the third party, say). A `ConnectionNotReady` of the account, which is
   * what reading its access token fails with where there is none, always means that. Default: nothing else does.
   */
  readonly isAuthFailure?: ((error: E) => boolean) | undefined
  /** Options of the refresh. Its `deadline` bounds the shared refresh, so leave it out unless every caller has the same. */
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
 * Runs `effect`; on an auth failure, or where the account has no credential, refreshes `accountId` once, sharing the refresh with everybody
 * else, and runs it again. The second auth failure is returned as it is.
 *
 * Fails with `ConsentRequired` if a person has to act, `ConnectionNotReady` if the account cannot be used, the refresh's own error, or
 * whatever `effect` fails with.
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
    // Counted and uncounted without a moment in between in which an interruption could get lost.
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

/** Whether a failure says that this account has no credential to work with. One of another account is none of ours. */
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

/** One caller's share in a renewal: skipped if one completed since the caller began, joined if one is on its way, else started. */
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
