/**
 * Typed failures for an account that is not usable although its refresh did not fail.
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
    /** The account's status until the person consents. */
    status: ConnectedAccountStatus
  }
) {
  override get message(): string {
    return `Account ${this.accountId} needs a person's consent`
  }
}

/** The account is not usable, and no consent is pending. `status` says why. */
export class ConnectionNotReady extends Schema.TaggedError<ConnectionNotReady>("@rekindle/core/ConnectionNotReady")(
  "ConnectionNotReady",
  { accountId: ConnectedAccountId, status: ConnectedAccountStatus }
) {
  override get message(): string {
    return `Account ${this.accountId} is ${this.status}`
  }
}

/** The link expired before the person consented. `status` is the last one that was read, if any. */
export class ConsentExpired extends Schema.TaggedError<ConsentExpired>("@rekindle/core/ConsentExpired")(
  "ConsentExpired",
  { accountId: ConnectedAccountId, status: Schema.optionalKey(ConnectedAccountStatus) }
) {
  override get message(): string {
    return `The link to consent for account ${this.accountId} expired`
  }
}
