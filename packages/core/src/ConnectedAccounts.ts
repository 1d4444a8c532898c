/**
 * The one interface. An HTTP client provides it, an engine provides it, a script provides it, and every resilience policy is a
 * function from it to it; server routes require it. Compose those, and the program that uses it does not change.
 *
 * @module
 */
import { Context, type DateTime, type Effect } from "effect"
import type { ConnectedAccount, ConnectedAccountId } from "./ConnectedAccount.ts"
import type { ReadError, RefreshError } from "./RefreshError.ts"
import type { RefreshOutcome } from "./RefreshOutcome.ts"

/** The published request fields, and what travels beside them. */
export interface RefreshOptions {
  /** Where the person lands after consent, if consent turns out to be needed: a `RedirectUrl`. */
  readonly redirectUrl?: string | undefined
  /** Whether to try the credential at the provider, where the scheme has nothing to renew (an API key, say). Default false. */
  readonly validateCredentials?: boolean | undefined
  /**
   * Says that a third party refused the access token in use, as with a 401. An account whose grant is dead keeps its access token in service
   * to its end; with this it is EXPIRED at once. `withRefresh` says it.
   */
  readonly tokenRefused?: boolean | undefined
  /**
   * When the caller stops waiting. It travels to the server, which stops starting work for a caller who has left; work already sent to
   * a provider is finished and kept either way.
   */
  readonly deadline?: DateTime.Utc | undefined
  /** Makes an ambiguous attempt safe to repeat: a server that honours it answers the first attempt's result again. */
  readonly idempotencyKey?: string | undefined
}

/**
 * Keeps connected accounts alive.
 *
 * `refresh` is not idempotent: it may spend a single-use grant. Read an error's `disposition` before you call it again, or let
 * a policy do that.
 */
export class ConnectedAccounts extends Context.Service<
  ConnectedAccounts,
  {
    /** Makes the connection usable now, or says what a person has to do. */
    readonly refresh: (id: ConnectedAccountId, options?: RefreshOptions) => Effect.Effect<RefreshOutcome, RefreshError>
    /** Reads the account without touching its credential. */
    readonly get: (id: ConnectedAccountId) => Effect.Effect<ConnectedAccount, ReadError>
  }
>()("@rekindle/core/ConnectedAccounts") {}

/** The project of whoever names none. */
export const defaultProject = "default"

/**
 * The project on whose behalf a call is made. Server routes set it from the API key. What belongs to another project does not exist for
 * the call: its accounts are `AccountNotFound`, its ids are free. There is no value that sees all projects.
 */
export const CurrentProject = Context.Reference<string>("@rekindle/core/CurrentProject", {
  defaultValue: () => defaultProject
})
