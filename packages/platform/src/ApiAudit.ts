/**
 * Tells the application who does what, for a log that it keeps.
 *
 * @module
 */
import type { Unavailable } from "@rekindle/core"
import { Context, Effect } from "effect"
import type { ApiKeyScope, ApiPrincipal } from "./ApiKeys.ts"

/** A request that the key check let through. */
export interface ApiCall {
  readonly principal: ApiPrincipal["Service"]
  /** The scope that it needs. */
  readonly scope: ApiKeyScope
  readonly method: string
  /** The path of the contract, such as `/api/v3/connected_accounts/:nanoid`. */
  readonly route: string
  /** The path of the request, without its query. */
  readonly path: string
  /** The network address of the caller, if it is known. */
  readonly address: string | undefined
}

/**
 * Is told of each request before it is carried out. If it fails, nothing is done and the answer is its 503. So nothing is done that is not
 * recorded. It returns what to run if the request fails.
 */
export const ApiAudit = Context.Reference<(call: ApiCall) => Effect.Effect<Effect.Effect<void>, Unavailable>>(
  "@rekindle/platform/ApiAudit",
  { defaultValue: () => () => Effect.succeed(Effect.void) }
)

/** Whether {@link ApiAudit} is told of the requests of an endpoint. False for one that records by itself what it does. */
export const IsAudited = Context.Reference<boolean>("@rekindle/platform/IsAudited", { defaultValue: () => true })
