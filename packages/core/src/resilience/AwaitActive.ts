/**
 * Shows a person the link to consent, and polls until the account is ACTIVE.
 *
 * It handles what simple pollers get wrong:
 *
 * - A transient failure of a read does not end the wait, and a read that hangs does not block it.
 * - An account that stays ACTIVE while consent is pending does not count as a completed consent. It has to change first.
 * - The polls slow down, are jittered, and obey Retry-After.
 *
 * @module
 */
import { Duration, Effect } from "effect"
import type { ConnectedAccount, ConnectedAccountId, ConnectedAccountStatus } from "../ConnectedAccount.ts"
import { ConnectedAccounts, type RefreshOptions } from "../ConnectedAccounts.ts"
import * as MonotonicClock from "../MonotonicClock.ts"
import { mayPass, type ReadError, type RefreshError, retryAfterOf } from "../RefreshError.ts"
import { ConnectionNotReady, ConsentExpired } from "./Consent.ts"
import { decorrelated } from "./internal/Backoff.ts"

/** How to show the link, and how often to poll. */
export interface AwaitActiveOptions<E = never, R = never> {
  /** Shows the link to the person. Runs once, before the first poll, and may fail. */
  readonly onRedirect: (redirectUrl: string) => Effect.Effect<unknown, E, R>
  /** How long the link is valid, and therefore how long to wait. Default 10 minutes. */
  readonly linkLifetime?: Duration.Input | undefined
  /** The first wait between polls. Default 1 second. */
  readonly pollEvery?: Duration.Input | undefined
  /** The longest wait between polls. It also bounds a server's Retry-After. Default 10 seconds. */
  readonly pollAtMost?: Duration.Input | undefined
  /** Options of the refresh that starts the consent, such as `redirectUrl`. */
  readonly refresh?: RefreshOptions | undefined
}

/** The time limit of one read. After it, the next poll follows. */
const readTimeout = "30 seconds"

/**
 * Whether a status ends the wait. While a link is pending, EXPIRED can still change, and so can the status that the account had when the link was
 * issued (`before`).
 */
const terminal = (status: ConnectedAccountStatus, before: ConnectedAccountStatus | undefined): boolean =>
  status !== before &&
  (status === "FAILED" ||
    status === "REVOKED" ||
    status === "INACTIVE" ||
    (status === "EXPIRED" && before === undefined))

/** Whether the next read would fail in the same way. */
const lasting = (error: ReadError): boolean => error.disposition === "rejected" && !mayPass(error)

/**
 * Refreshes `accountId`, shows the link if there is one, and waits until the account is ACTIVE. Returns the account.
 *
 * Fails with `ConnectionNotReady` on a terminal status, `ConsentExpired` when the link expires, a permanent error of a read (400, 401, 403, 404),
 * the error of the refresh, or the error of `onRedirect`.
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
  const end = (yield* MonotonicClock.millis) + lifetime

  let last: ConnectedAccountStatus | undefined
  let wait = pollEvery
  /** Polls until a read succeeds, and returns the account. Fails with `ConsentExpired` when the link expires. */
  const read = Effect.fnUntraced(function* (pauseFirst: boolean) {
    let pause = pauseFirst
    while (true) {
      if (pause) {
        const left = end - (yield* MonotonicClock.millis)
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

  // An account that is already ACTIVE has to change before ACTIVE means that the person consented.
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
