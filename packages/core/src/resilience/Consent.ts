/**
 * The ways in which a refresh succeeds and the caller still cannot go on, as typed failures for callers who want to go on.
 *
 * @module
 */
import { Schema } from "effect"
import { ConnectedAccountId, ConnectedAccountStatus } from "../ConnectedAccount.ts"

/** A person has to consent at `redirectUrl` before the account can be used. */
export class ConsentRequired extends Schema.TaggedError<ConsentRequired>("@rekindle/core/ConsentRequired")(
  "ConsentRequired",
  {
    accountId: ConnectedAccountId,
    redirectUrl: Schema.String,
    /** What the account is meanwhile. */
    status: ConnectedAccountStatus
  }
) {
  override get message(): string {
    return `Account ${this.accountId} needs a person's consent`
  }
}

/** The account is neither usable nor waiting for a person; `status` says why. */
export class ConnectionNotReady extends Schema.TaggedError<ConnectionNotReady>("@rekindle/core/ConnectionNotReady")(
  "ConnectionNotReady",
  { accountId: ConnectedAccountId, status: ConnectedAccountStatus }
) {
  override get message(): string {
    return `Account ${this.accountId} is ${this.status}`
  }
}

/** The link ended before anybody consented. `status` is the last one read, if any read succeeded. */
export class ConsentExpired extends Schema.TaggedError<ConsentExpired>("@rekindle/core/ConsentExpired")(
  "ConsentExpired",
  { accountId: ConnectedAccountId, status: Schema.optionalKey(ConnectedAccountStatus) }
) {
  override get message(): string {
    return `Nobody consented for account ${this.accountId} in time`
  }
}
