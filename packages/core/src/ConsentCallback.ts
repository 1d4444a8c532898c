/**
 * Completing a consent: what joins the route that providers redirect browsers to with whoever keeps the accounts. An engine provides it, and
 * the routes of the platform package require it.
 *
 * @module
 */
import { Context, type Effect, Schema } from "effect"
import type { ConnectedAccountId, ConnectedAccountStatus } from "./ConnectedAccount.ts"

/** Why a callback belongs to no consent that could be completed. The message is for the person at the browser and never holds a secret. */
export class ConsentCallbackError extends Schema.TaggedError<ConsentCallbackError>(
  "@rekindle/core/ConsentCallbackError"
)("ConsentCallbackError", {
  /** `invalid`: the state is unknown, expired, or of another browser; start again. `unavailable`: try the same link again. */
  reason: Schema.Literals(["invalid", "unavailable"]),
  message: Schema.String
}) {}

/** Why a consent led to no new credential. A closed set. */
export const ConsentFailureReason = Schema.Literals([
  /** The person refused. */
  "denied",
  /** The provider refused the code or the parameters. A new attempt may succeed. */
  "refused",
  /** There was no trustworthy answer. A new attempt may succeed. */
  "unavailable",
  /** The state is unknown, used or expired. */
  "unknown-state",
  /** The consent came from another person, or for another workspace, than the account's. */
  "identity-mismatch",
  /** Another consent for the account was completed first. Its tokens are in use. */
  "overtaken",
  /** The auth config is faulty. */
  "misconfigured"
])
export type ConsentFailureReason = typeof ConsentFailureReason.Type

/** A consent that led to no new credential. */
export interface ConsentFailure {
  readonly reason: ConsentFailureReason
  readonly message: string
  /** The provider's code, if it stated one. */
  readonly code: string | null
}

/** How a consent ended. */
export interface ConsentResult {
  readonly accountId: ConnectedAccountId
  /** The account's status now. */
  readonly status: ConnectedAccountStatus
  /** Where the browser goes next, as the application asked; `undefined` for a page of the server. */
  readonly redirectUrl: string | undefined
  /** Set when there is no new credential. An account that was ACTIVE stays ACTIVE even if the person refused the new consent. */
  readonly failure: ConsentFailure | undefined
}

/** Completes a consent from the query that the provider sent back (`code`, `state`, `error`, …). */
export class ConsentCallback extends Context.Service<
  ConsentCallback,
  {
    /** `session` is what the browser brings of the value that the link was bound to. */
    readonly complete: (
      query: URLSearchParams,
      session: string | undefined
    ) => Effect.Effect<ConsentResult, ConsentCallbackError>
  }
>()("@rekindle/core/ConsentCallback") {}
