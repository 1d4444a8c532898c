/**
 * Runs a call; if its credential is refused, refreshes once and runs the call again.
 *
 * @module
 */
import * as Core from "@rekindle/core"
import { Effect, identity } from "effect"
import { Effect as Effect4 } from "effect4"
import type { ConnectedAccountId } from "./ConnectedAccount.ts"
import { ConnectedAccounts, type RefreshOptions } from "./ConnectedAccounts.ts"
import { ConnectionNotReady, type ConsentRequired, type RefreshError } from "./Errors.ts"
import { accountsToFour } from "./internal/accounts.ts"
import { toFour, toThree } from "./internal/bridge.ts"
import {
  consentRequiredToThree,
  errorToThree,
  idToFour,
  notReadyToFour,
  notReadyToThree,
  refreshOptionsToFour
} from "./internal/values.ts"

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

/** What the call failed with. */
class Failed<E> {
  readonly _tag = "Failed"
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

/**
 * Runs `effect`. On an auth failure, or if the account has no usable credential, it refreshes `accountId` once and runs `effect` again. Concurrent
 * calls share the refresh, which no caller interrupts by leaving. A second auth failure is returned as it is.
 *
 * Fails with `ConsentRequired` if a person has to consent, `ConnectionNotReady` if the account cannot be used, the error of the refresh, or the
 * error of `effect`.
 *
 * **Gotchas**
 *
 * `effect` runs in a fiber of its own: changes that it makes to a `FiberRef` end with it.
 */
export const withRefresh = <A, E, R>(
  accountId: ConnectedAccountId,
  effect: Effect.Effect<A, E, R>,
  { isAuthFailure = () => false, refresh }: WithRefreshOptions<E> = {}
): Effect.Effect<A, E | RefreshError | ConsentRequired | ConnectionNotReady, R | ConnectedAccounts> =>
  Effect.gen(function* () {
    const accounts = accountsToFour(yield* ConnectedAccounts)
    const context = yield* Effect.context<R>()
    const call = toFour(
      Effect.provide(effect, context),
      (error) => (error instanceof ConnectionNotReady ? notReadyToFour(error) : new Failed(error)),
      identity
    )
    const run = Core.Resilience.withRefresh(idToFour(accountId), call, {
      isAuthFailure: (error) => error._tag === "Failed" && isAuthFailure(error.error),
      refresh: refresh === undefined ? undefined : refreshOptionsToFour(refresh)
    })
    return yield* toThree(
      Effect4.provideService(run, Core.ConnectedAccounts, accounts),
      (error): E | RefreshError | ConsentRequired | ConnectionNotReady => {
        switch (error._tag) {
          case "Failed":
            return error.error
          case "ConsentRequired":
            return consentRequiredToThree(error)
          case "ConnectionNotReady":
            return notReadyToThree(error)
          default:
            return errorToThree(error)
        }
      },
      identity
    )
  })
