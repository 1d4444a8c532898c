/**
 * Completing a consent: what the route that providers redirect browsers to calls.
 *
 * @module
 */
import { Context, type Effect, Schema } from "effect"
import type { ConnectedAccountId, ConnectedAccountStatus } from "./ConnectedAccount.ts"

/** Why a callback belongs to no consent that could be completed. The message is for the person at the browser and never holds a secret. */
export class ConsentCallbackError extends Schema.TaggedError<ConsentCallbackError>(
  "@rekindle/effect3/ConsentCallbackError"
)("ConsentCallbackError", {
  /** `invalid`: the state is unknown, expired, or of another browser; start again. `unavailable`: try the same link again. */
  reason: Schema.Literal("invalid", "unavailable"),
  message: Schema.String
}) {}

/** A consent that led to no new credential. */
export interface ConsentFailure {
  /**
   * - `denied`: the person refused.
   * - `refused`: the provider refused the code or the parameters. A new attempt may succeed.
   * - `unavailable`: there was no trustworthy answer. A new attempt may succeed.
   * - `unknown-state`: the state is unknown, used or expired.
   * - `identity-mismatch`: the consent came from another person, or for another workspace, than the account's.
   * - `overtaken`: another consent for the account was completed first. Its tokens are in use.
   * - `misconfigured`: the auth config is faulty.
   */
  readonly reason:
    | "denied"
    | "refused"
    | "unavailable"
    | "unknown-state"
    | "identity-mismatch"
    | "overtaken"
    | "misconfigured"
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
export class ConsentCallback extends Context.Tag("@rekindle/effect3/ConsentCallback")<
  ConsentCallback,
  {
    /** `session` is what the browser brings of the value that the link was bound to. */
    readonly complete: (query: URLSearchParams, session?: string) => Effect.Effect<ConsentResult, ConsentCallbackError>
  }
>() {}
