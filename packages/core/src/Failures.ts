/**
 * Every slug that Rekindle answers with: the status it comes with, what that says about sending again, and what to do.
 *
 * A status alone does not tell. A 500 may mean that nobody knows whether the grant was spent, or that the provider said no and nothing
 * happened. The slug tells them apart, also for a client that only sees the answer.
 *
 * @module
 */
import type { Disposition } from "./RefreshError.ts"

interface Failure {
  /** The disposition by status: some slugs come with two, depending on whether a request had left. */
  readonly dispositions: { readonly [status: number]: Disposition }
  readonly meaning: string
  readonly action: string
}

const rejected = (status: number, meaning: string, action: string): Failure => ({
  dispositions: { [status]: "rejected" },
  meaning,
  action
})
const unknown = (meaning: string, action: string): Failure => ({
  dispositions: { 500: "ambiguous" },
  meaning,
  action
})
const either = (meaning: string, action: string): Failure => ({
  dispositions: { 500: "ambiguous", 503: "rejected" },
  meaning,
  action
})

const mendRequest = "mend the request"
const lookFirst = "read the account before asking again"
const later = "ask again after Retry-After"
const mendConfig = "mend the auth config and register it again"

/** The failures by slug. */
export const bySlug = {
  // The request.
  account_not_refreshable: rejected(400, "the account is INACTIVE or REVOKED", "enable it, or connect it anew"),
  account_revoked: rejected(400, "a revoked account takes no credential", "connect it anew"),
  auth_config_disabled: rejected(400, "the auth config is switched off, and its accounts with it", "enable it"),
  auth_config_in_use: rejected(400, "the auth config has accounts", "remove them first, or disable the auth config"),
  auth_config_not_found: rejected(400, "the project has no auth config of that id", "register it, or use another id"),
  bad_request: rejected(400, "the request cannot be read", mendRequest),
  conflicting_fields: rejected(400, "query and body disagree about a field", mendRequest),
  id_taken: rejected(400, "the project has an account of that id", "use another id"),
  idempotency_key_outdated: rejected(
    400,
    "the account has changed since the answer that the key stands for",
    "use a new key"
  ),
  idempotency_key_reused: rejected(400, "the key was used for another request", "use a new key for each refresh"),
  invalid_auth_config: rejected(
    400,
    "the auth config has mistakes; nothing was changed",
    "mend the fields in `errors`"
  ),
  invalid_cursor: rejected(
    400,
    "the cursor is not one that a page of this list came with",
    "begin with the first page"
  ),
  invalid_id: rejected(400, "the account id is malformed", mendRequest),
  invalid_limit: rejected(400, "the limit is not a whole number from 1 to 500", mendRequest),
  invalid_redirect_url: rejected(400, "people cannot be sent to this redirect_url", mendRequest),
  invalid_secrets: rejected(400, "the credential does not fit the scheme", "send the secrets that it names"),
  // The caller.
  missing_api_key: rejected(401, "there is no API key", "send x-api-key"),
  unknown_api_key: rejected(401, "the API key is unknown", "use a valid one"),
  connected_account_not_found: rejected(404, "there is no such account in the project", "connect it anew"),
  method_not_allowed: rejected(405, "the address knows other methods", mendRequest),
  body_too_slow: rejected(408, "the body did not arrive in time", "send it again"),
  body_too_large: rejected(413, "the body is over the limit", mendRequest),
  unsupported_media_type: rejected(415, "the body is not JSON", mendRequest),
  // The scheme.
  scheme_unsupported: rejected(501, "the scheme has nothing to refresh", "do not ask again"),
  validation_unsupported: rejected(501, "the auth config names no address to try a credential at", "name one"),
  // Nothing was sent, or the provider said a definite no.
  auth_config_invalid: rejected(500, "the auth config is missing or wrong; nothing was sent", mendConfig),
  auth_config_rejected: rejected(500, "the provider refused the application", mendConfig),
  credential_unreadable: rejected(
    500,
    "the stored credential cannot be opened; nothing was sent",
    "put the missing key back into the ring"
  ),
  not_renewed: rejected(500, "the provider answered without a new token", "look into its answer"),
  refresh_impossible: rejected(
    500,
    "our own rules or settings keep the request from leaving",
    "mend what `errors` names"
  ),
  refresh_refused: rejected(500, "the provider refused the request", "mend what its code in `errors` says"),
  // It may have been done.
  commit_pending: unknown("the new credential is kept and not yet in the store", lookFirst),
  deadline_exceeded: {
    dispositions: { 500: "ambiguous", 503: "rejected" },
    meaning: "the caller's time was over",
    action: lookFirst
  },
  internal_error: unknown("a defect of the server", "look at its log under the request id"),
  interrupted: unknown("the server closed while the refresh was under way", lookFirst),
  provider_silent: unknown("the token was presented and no clear answer came", lookFirst),
  upstream_ambiguous: unknown("a server behind this one gave no clear answer", lookFirst),
  upstream_unexpected: unknown("a server behind this one answered outside of the contract", lookFirst),
  // Busy, or down: nothing was done, unless it is a 500.
  busy: either("another process is renewing the account", later),
  shutting_down: either("this process is shutting down", later),
  store_unavailable: either("the account store does not answer", later),
  circuit_open: rejected(503, "several accounts of the auth config met the same fault; nothing was sent", later),
  consent_unavailable: rejected(503, "a consent cannot be started now", later),
  journal_unavailable: rejected(503, "the journal has no room for the answer; nothing was sent", "make room"),
  provider_busy: rejected(503, "the provider asked to come back later", later),
  provider_unreachable: rejected(503, "no connection to the provider was made; nothing was sent", later),
  timed_out: rejected(503, "it took too long; nothing was done", later),
  unverified: rejected(503, "the credential could not be tried: neither confirmed nor refuted", later),
  upstream_unavailable: rejected(503, "a server behind this one is down; nothing was done", later)
} as const satisfies Readonly<Record<string, Failure>>

/** A slug of Rekindle's own. */
export type Slug = keyof typeof bySlug

const table: Readonly<Record<string, Failure>> = bySlug

/** What a failure of this status and slug says about sending again; undefined for a slug that is not ours. */
export const dispositionOf = (status: number, slug: string | undefined): Disposition | undefined =>
  slug !== undefined && Object.hasOwn(table, slug) ? table[slug]?.dispositions[status] : undefined
