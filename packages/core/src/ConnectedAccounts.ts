/**
 * The central interface. An HTTP client, an engine or a script provides it. Server routes require it. A resilience policy takes one and
 * returns one. A program that uses it does not change when these are composed in another way.
 *
 * @module
 */
import { Context, type DateTime, type Effect } from "effect"
import type { ConnectedAccount, ConnectedAccountId } from "./ConnectedAccount.ts"
import type { ReadError, RefreshError } from "./RefreshError.ts"
import type { RefreshOutcome } from "./RefreshOutcome.ts"

/** The published request fields, and the deadline, idempotency key and hint that travel with them. */
export interface RefreshOptions {
  /** Where the browser goes after consent, if consent is needed: a `RedirectUrl`. */
  readonly redirectUrl?: string | undefined
  /** Whether to test the credential at the provider if the scheme has nothing to renew, such as an API key. Default false. */
  readonly validateCredentials?: boolean | undefined
  /**
   * Whether a third party refused the access token in use, as with a 401. An account with a dead grant otherwise stays ACTIVE until its
   * access token expires; with `true` it becomes EXPIRED at once. A refresh token that may be spent is otherwise not sent until then; with
   * `true` it is. `withRefresh` sets it.
   */
  readonly tokenRefused?: boolean | undefined
  /**
   * When the caller stops waiting. The server receives it, and starts no work for a caller who has left. A request that has been sent to a
   * provider is completed, and its answer is stored, in any case.
   */
  readonly deadline?: DateTime.Utc | undefined
  /** Makes an ambiguous attempt safe to repeat. A server that honours it answers with the result of the first attempt. */
  readonly idempotencyKey?: string | undefined
}

/**
 * Keeps connected accounts alive.
 *
 * `refresh` is not idempotent: it may spend a single-use grant. Read the `disposition` of an error before you call again, or use a policy
 * that does.
 */
export class ConnectedAccounts extends Context.Service<
  ConnectedAccounts,
  {
    /** Makes the connection usable now, or returns the link that a person has to visit. */
    readonly refresh: (id: ConnectedAccountId, options?: RefreshOptions) => Effect.Effect<RefreshOutcome, RefreshError>
    /** Reads the account without touching its credential. */
    readonly get: (id: ConnectedAccountId) => Effect.Effect<ConnectedAccount, ReadError>
  }
>()("@rekindle/core/ConnectedAccounts") {}

/** The project of calls that name none. */
export const defaultProject = "default"

/**
 * The project that a call is made for. Server routes set it from the API key. Accounts of another project do not exist for the call: they
 * are `AccountNotFound`, and their ids are free. No value sees all projects.
 */
export const CurrentProject = Context.Reference<string>("@rekindle/core/CurrentProject", {
  defaultValue: () => defaultProject
})
