/**
 * The central interface, as a service of Effect 3. A client, an engine or a script provides it.
 *
 * @module
 */
import { Context, type DateTime, type Effect } from "effect"
import type { ConnectedAccount, ConnectedAccountId, RefreshOutcome } from "./ConnectedAccount.ts"
import type { ReadError, RefreshError } from "./Errors.ts"

/** The published request fields, and the deadline, idempotency key and hint that travel with them. */
export interface RefreshOptions {
  /** Where the browser goes after consent, if consent is needed: an absolute http(s) URL. */
  readonly redirectUrl?: string | undefined
  /** Whether to test the credential at the provider if the scheme has nothing to renew, such as an API key. Default false. */
  readonly validateCredentials?: boolean | undefined
  /** Whether a third party refused the access token in use, as with a 401. `withRefresh` sets it. Default false. */
  readonly tokenRefused?: boolean | undefined
  /** When the caller stops waiting. A request that has been sent to a provider is completed, and its answer stored, in any case. */
  readonly deadline?: DateTime.Utc | undefined
  /** Makes an ambiguous attempt safe to repeat. A server that honours it answers with the result of the first attempt. */
  readonly idempotencyKey?: string | undefined
}

/**
 * Keeps connected accounts alive.
 *
 * `refresh` is not idempotent: it may spend a single-use grant. Read the `disposition` of an error before you call again. An interrupted
 * call ends at once. A renewal that it started at an engine goes on, and its answer is stored.
 */
export class ConnectedAccounts extends Context.Tag("@rekindle/effect3/ConnectedAccounts")<
  ConnectedAccounts,
  {
    /** Makes the connection usable now, or returns the link that a person has to visit. */
    readonly refresh: (id: ConnectedAccountId, options?: RefreshOptions) => Effect.Effect<RefreshOutcome, RefreshError>
    /** Reads the account without touching its credential. */
    readonly get: (id: ConnectedAccountId) => Effect.Effect<ConnectedAccount, ReadError>
  }
>() {}
