/**
 * From "needs consent" to "usable": show the person the link and poll until the account is ACTIVE.
 *
 * Three things go wrong in hand-written pollers, and are looked after here. A read that fails in passing does not end the wait, and one
 * that hangs does not make it endless. An account that stayed ACTIVE while consent is pending is not taken for a finished consent: it
 * has to move on from what it was when the link was handed out. And the polling is polite: it slows down, is jittered, and obeys
 * Retry-After.
 *
 * @module
 */
import { Clock, Duration, Effect } from "effect"
import type { ConnectedAccount, ConnectedAccountId, ConnectedAccountStatus } from "../ConnectedAccount.ts"
import { ConnectedAccounts, type RefreshOptions } from "../ConnectedAccounts.ts"
import { mayPass, type ReadError, type RefreshError, retryAfterOf } from "../RefreshError.ts"
import { ConnectionNotReady, ConsentExpired } from "./Consent.ts"
import { decorrelated } from "./internal/Backoff.ts"

/** How to reach the person, and how patiently to poll. */
export interface AwaitActiveOptions<E = never, R = never> {
  /** Shows the link to the person. Runs once, before the first poll, and may fail. */
  readonly onRedirect: (redirectUrl: string) => Effect.Effect<unknown, E, R>
  /** How long the link lives, and so how long to wait. Default 10 minutes. */
  readonly linkLifetime?: Duration.Input | undefined
  /** The wait between polls at first. Default 1 second. */
  readonly pollEvery?: Duration.Input | undefined
  /** The longest wait between polls, a server's Retry-After included. Default 10 seconds. */
  readonly pollAtMost?: Duration.Input | undefined
  /** Options of the refresh that gets the link, such as where the person lands. */
  readonly refresh?: RefreshOptions | undefined
}

/** A read that takes longer is given up, and the next one is made. */
const readTimeout = "30 seconds"

/**
 * Where waiting is in vain. While a link is pending, EXPIRED may still turn, and so may what the account was when the link was handed
 * out (`before`).
 */
const terminal = (status: ConnectedAccountStatus, before: ConnectedAccountStatus | undefined): boolean =>
  status !== before &&
  (status === "FAILED" ||
    status === "REVOKED" ||
    status === "INACTIVE" ||
    (status === "EXPIRED" && before === undefined))

/** Failures of a read that the next read will meet again. */
const lasting = (error: ReadError): boolean => error.disposition === "rejected" && !mayPass(error)

/**
 * Refreshes `accountId`, shows the link if there is one, and waits until the account is ACTIVE. Gives the account.
 *
 * Fails with `ConnectionNotReady` on a terminal status, `ConsentExpired` at the link's end, a lasting read error (401, 403, 404, 400),
 * the refresh's own error, or what `onRedirect` fails with.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccount, ConnectedAccountId, ConnectedAccounts, RedirectRequired, Resilience } from "@rekindle/core"
 * import { Effect, Layer, Schema } from "effect"
 *
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 * let consented = false
 * const provider = Layer.succeed(ConnectedAccounts, {
 *   refresh: () => Effect.succeed(RedirectRequired.make({ id, redirectUrl: "https://example.com/consent", status: "INITIATED" })),
 *   get: () =>
 *     Schema.decodeEffect(ConnectedAccount)({
 *       id,
 *       status: consented ? "ACTIVE" : "INITIATED",
 *       status_reason: null,
 *       toolkit: { slug: "gmail" },
 *       auth_config: { id: "ac_1" },
 *       user_id: "user",
 *       is_disabled: false,
 *       created_at: new Date(0).toISOString(),
 *       updated_at: new Date(0).toISOString(),
 *       state: { authScheme: "OAUTH2", val: {} }
 *     }).pipe(Effect.orDie)
 * })
 *
 * const account = await Resilience.awaitActive(id, {
 *   onRedirect: (url) =>
 *     Effect.sync(() => {
 *       assert.equal(url, "https://example.com/consent")
 *       consented = true
 *     })
 * }).pipe(Effect.provide(provider), Effect.runPromise)
 * assert.equal(account.status, "ACTIVE")
 * ```
 */
export const awaitActive = Effect.fnUntraced(function* <E = never, R = never>(
  accountId: ConnectedAccountId,
  options: AwaitActiveOptions<E, R>
): Effect.fn.Return<ConnectedAccount, RefreshError | ConnectionNotReady | ConsentExpired | E, R | ConnectedAccounts> {
  const accounts = yield* ConnectedAccounts
  const lifetime = Duration.toMillis(options.linkLifetime ?? "10 minutes")
  const pollEvery = Duration.toMillis(options.pollEvery ?? "1 second")
  const pollAtMost = Duration.toMillis(options.pollAtMost ?? "10 seconds")

  const outcome = yield* accounts.refresh(accountId, options.refresh)
  const linked = outcome._tag === "RedirectRequired"
  if (outcome._tag === "NotReady" && terminal(outcome.status, undefined)) {
    return yield* new ConnectionNotReady({ accountId, status: outcome.status })
  }
  const end = (yield* Clock.currentTimeMillis) + lifetime

  let last: ConnectedAccountStatus | undefined
  let wait = pollEvery
  /** Reads until a read succeeds, politely, then gives the account; `ConsentExpired` at the link's end. */
  const read = Effect.fnUntraced(function* (pauseFirst: boolean) {
    let pause = pauseFirst
    while (true) {
      if (pause) {
        const left = end - (yield* Clock.currentTimeMillis)
        if (left <= 0) {
          return yield* new ConsentExpired({ accountId, ...(last === undefined ? undefined : { status: last }) })
        }
        yield* Effect.sleep(Math.min(wait, left))
        wait = yield* decorrelated(wait, pollEvery, pollAtMost)
      }
      const account = yield* accounts.get(accountId).pipe(
        Effect.timeoutOrElse({ duration: readTimeout, orElse: () => Effect.undefined }),
        Effect.catch((error) => {
          if (lasting(error)) return Effect.fail(error)
          const asked = retryAfterOf(error)
          if (asked !== undefined) wait = Math.min(pollAtMost, Math.max(wait, Duration.toMillis(asked)))
          return Effect.succeed(undefined)
        })
      )
      if (account !== undefined) {
        last = account.status
        return account
      }
      pause = true
    }
  })

  // An account that is ACTIVE already has to move on before ACTIVE means that the person consented.
  const before = linked && outcome.status === "ACTIVE" ? yield* read(false) : undefined
  if (linked) yield* options.onRedirect(outcome.redirectUrl)

  let account = yield* read(false)
  while (true) {
    const moved = before === undefined || account.updatedAt.epochMilliseconds > before.updatedAt.epochMilliseconds
    if (account.status === "ACTIVE" && moved) return account
    if (terminal(account.status, linked ? outcome.status : undefined)) {
      return yield* new ConnectionNotReady({ accountId, status: account.status })
    }
    account = yield* read(true)
  }
})
