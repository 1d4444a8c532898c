/**
 * Every slug of Rekindle's answers: its status, its disposition, its meaning and what to do.
 *
 * The status alone is not enough. After a 500 the grant may have been spent, or the provider may have refused and nothing happened. The slug
 * tells these apart, even for a client that sees only the answer.
 *
 * @module
 */
import type { Disposition } from "./RefreshError.ts"

interface Failure {
  /** The disposition by status. Some slugs have two statuses, depending on whether a request had been sent. */
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
const either = (meaning: string): Failure => ({
  dispositions: { 500: "ambiguous", 503: "rejected" },
  meaning,
  action: "after a 503, send it again; after a 500, read the account first"
})

const fixRequest = "correct the request"
const lookFirst = "read the account before you send it again"
const later = "send it again after Retry-After"
const fixConfig = "correct the auth config and register it again"

/** All failures by slug. */
export const bySlug = {
  // The request.
  account_not_refreshable: rejected(400, "the account is INACTIVE or REVOKED", "enable it, or connect it anew"),
  account_revoked: rejected(400, "a revoked account takes no credential", "connect it anew"),
  alias_taken: rejected(
    400,
    "another account of the same person and toolkit has the alias; nothing was changed",
    "use another alias"
  ),
  api_key_not_found: rejected(400, "the project has no API key of that id", "see the list of keys"),
  acl_only_for_shared: rejected(400, "the account is one person's, and has no list of others", fixRequest),
  auth_config_disabled: rejected(400, "the auth config is switched off, and its accounts with it", "enable it"),
  auth_config_in_use: rejected(400, "the auth config has accounts", "remove them first, or disable the auth config"),
  // 404 where the published contract has one.
  auth_config_not_found: {
    dispositions: { 400: "rejected", 404: "rejected" },
    meaning: "the project has no auth config of that id",
    action: "register it, or use another id"
  },
  bad_request: rejected(400, "the request cannot be read", fixRequest),
  consent_invalid: rejected(
    400,
    "the callback belongs to no consent that can be completed: its state is unknown, expired, or of another browser",
    "begin the consent again with a new link"
  ),
  conflicting_fields: rejected(400, "query and body have different values of a field", fixRequest),
  credential_refused: rejected(
    400,
    "the provider refuses the credential of a new account; the account was not kept",
    "send one that works"
  ),
  host_not_declared: rejected(
    400,
    "the address is not on a host that the auth config declares; nothing was sent",
    "call the provider's API, or add the host to the auth config"
  ),
  id_taken: rejected(400, "the project has an account of that id", "use another id"),
  idempotency_key_outdated: rejected(
    400,
    "the account has changed since the answer that is stored under the key",
    "use a new key"
  ),
  idempotency_key_reused: rejected(400, "the key was used for another request", "use a new key for each refresh"),
  identity_mismatch: rejected(
    400,
    "the credential belongs to another person than the account; nothing was changed",
    "create another account, or allow another identity in the auth config"
  ),
  invalid_alias: rejected(400, "the alias does not have 1 to 255 characters", fixRequest),
  invalid_api_key_request: rejected(400, "a key with these settings cannot be made", fixRequest),
  invalid_auth_config: rejected(
    400,
    "the auth config has mistakes; nothing was changed",
    "correct the fields in `errors`"
  ),
  invalid_cursor: rejected(400, "the cursor does not come from a page of this list", "begin with the first page"),
  invalid_body: rejected(400, "the body is malformed, or changes nothing", fixRequest),
  invalid_id: rejected(400, "the account id is malformed", fixRequest),
  invalid_limit: rejected(400, "the limit is not a whole number from 1 to 500", fixRequest),
  invalid_project: rejected(400, "the project's id or one of its origins is malformed", fixRequest),
  invalid_redirect_url: rejected(400, "the redirect_url is malformed or not allowed", fixRequest),
  invalid_secrets: rejected(400, "the credential does not fit the scheme", "send the secrets that it names"),
  revocation_unsupported: rejected(
    400,
    "the provider cannot withdraw credentials; nothing was changed",
    "delete the account"
  ),
  scheme_mismatch: rejected(400, "the credential is for another scheme than the account", fixRequest),
  project_exists: rejected(400, "there is a project of that id", "use it, or another id"),
  project_not_found: rejected(400, "there is no project of that id", "create it, or use another id"),
  unknown_event_type: rejected(400, "a webhook subscription names a type that does not exist", "see the list of types"),
  unsupported_version: rejected(400, "a type of event does not exist in the version", "use V3"),
  webhook_url_refused: rejected(
    400,
    "webhooks cannot be sent to the address: it is not https, or not on the public internet",
    "use another address, or allow it with webhook-private-hosts"
  ),
  // The caller.
  missing_api_key: rejected(401, "there is no API key", "send x-api-key"),
  unknown_api_key: rejected(401, "the API key is unknown", "use a valid one"),
  expired_api_key: rejected(401, "the API key has expired", "use a valid one"),
  revoked_api_key: rejected(401, "the API key was revoked", "use a valid one"),
  missing_scope: rejected(403, "the API key lacks the scope that the request needs", "use a key with the scope"),
  other_project: rejected(403, "the API key manages its own project alone", "use an admin key of the project default"),
  connected_account_not_found: rejected(404, "there is no such account in the project", "connect it anew"),
  toolkit_not_found: rejected(404, "the catalogue has no toolkit of that slug", "use another slug"),
  webhook_subscription_not_found: rejected(404, "there is no such subscription in the project", "see the list of them"),
  connection_not_ready: rejected(
    409,
    "the account has no usable credential; `connected_account` has its status",
    "refresh the account, and show the link if a person has to consent"
  ),
  events_missed: rejected(
    410,
    "events after the given sequence are deleted; `events` has which",
    "read the accounts anew, then resume after `events.through`"
  ),
  route_not_found: rejected(404, "there is nothing at this address", "check the base URL and the path"),
  method_not_allowed: rejected(405, "the path does not support this method", fixRequest),
  not_revocable: rejected(409, "the account has no credential to withdraw", "delete the account"),
  body_too_slow: rejected(408, "the body did not arrive in time", "send it again"),
  body_too_large: rejected(413, "the body is over the limit", fixRequest),
  unsupported_media_type: rejected(415, "the body is not JSON", fixRequest),
  too_many_requests: rejected(429, "the API key or the caller's address sends too many requests", later),
  // The scheme, or the server.
  not_served: rejected(501, "the hosted service has it, and this server does not", "do not ask again"),
  scheme_unsupported: rejected(501, "the scheme has nothing to refresh", "do not ask again"),
  validation_unsupported: rejected(501, "the auth config has no URL to test a credential at", "add one"),
  // Nothing was sent, or the provider refused.
  auth_config_invalid: rejected(500, "the auth config is missing or wrong; nothing was sent", fixConfig),
  auth_config_rejected: rejected(500, "the provider refused the application", fixConfig),
  credential_unreadable: rejected(
    500,
    "the stored credential cannot be opened; nothing was sent",
    "put the missing key back into the ring"
  ),
  not_renewed: rejected(500, "the provider answered without a new token", "check the provider's answer"),
  refresh_impossible: rejected(
    500,
    "Rekindle's own rules or settings forbid the request; nothing was sent",
    "correct what `errors` names"
  ),
  refresh_refused: rejected(500, "the provider refused the request", "see the provider's code in `errors`"),
  // The grant may have been spent.
  commit_pending: unknown("the new credential is in the journal and not yet in the store", lookFirst),
  deadline_exceeded: either("the caller's deadline passed"),
  internal_error: unknown("a defect of the server", "find the request id in its log"),
  interrupted: unknown("the server shut down during the refresh", lookFirst),
  provider_silent: unknown("the token was sent and no clear answer came", lookFirst),
  withdrawal_pending: unknown(
    "the account is REVOKED, and the provider has not confirmed the withdrawal, which is being repeated",
    lookFirst
  ),
  upstream_ambiguous: unknown("an upstream server gave no clear answer", lookFirst),
  upstream_unexpected: unknown("an upstream server gave an answer outside the contract", lookFirst),
  // Busy or down. Nothing was done, unless the status is 500.
  busy: either("another process is renewing the account"),
  shutting_down: either("this process is shutting down"),
  store_unavailable: either("the account store does not answer"),
  circuit_open: rejected(503, "several accounts of the auth config met the same fault; nothing was sent", later),
  consent_unavailable: rejected(503, "a consent cannot be started or completed now", later),
  journal_unavailable: rejected(
    503,
    "the journal's disk is full or unreachable; nothing was sent",
    "free or repair it"
  ),
  provider_busy: rejected(503, "the provider is busy", later),
  provider_unreachable: rejected(503, "the provider cannot be reached; nothing was sent", later),
  starting: rejected(503, "the server is starting; nothing was done", later),
  timed_out: rejected(503, "the time limit passed; nothing was done", later),
  unverified: rejected(503, "the credential could not be tested", later),
  upstream_unavailable: rejected(503, "an upstream server is down; nothing was done", later)
} as const satisfies Readonly<Record<string, Failure>>

/** A slug of Rekindle. */
export type Slug = keyof typeof bySlug

const table: Readonly<Record<string, Failure>> = bySlug

/** The disposition of a failure by its status and slug; `undefined` for a slug that is not Rekindle's. */
export const dispositionOf = (status: number, slug: string | undefined): Disposition | undefined =>
  slug !== undefined && Object.hasOwn(table, slug) ? table[slug]?.dispositions[status] : undefined
