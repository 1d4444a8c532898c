/**
 * The fallback: it answers a failed refresh from the state of the account. The credential in service may still be valid for an hour, so a caller may
 * prefer it to an error of the transport.
 *
 * **Gotchas**
 *
 * - It is not part of `standard`, because it hides a failed refresh.
 * - It does not apply if the account or the request was refused (4xx, 501), or if the account cannot be read.
 * - ACTIVE means that the credential is not known to be dead. `get` does not say how long the access token is valid. If that matters,
 *   decide in `serve`, for example by `updatedAt`, or use `withRefresh`.
 *
 * @module
 */
import { Effect } from "effect"
import type { ConnectedAccount } from "../ConnectedAccount.ts"
import { mayPass, type RefreshError } from "../RefreshError.ts"
import { Ready, type RefreshOutcome } from "../RefreshOutcome.ts"
import { Events } from "./Events.ts"
import { type Policy, policy } from "./Policy.ts"

/** Which failures the fallback replaces, and with which answer. */
export interface FallbackOptions {
  /** Which failures are replaced. Default: all but a refusal (`rejected`, other than 429, 500 and 503). */
  readonly when?: ((error: RefreshError) => boolean) | undefined
  /** The answer for the account's present state; `undefined` keeps the failure. Default: `Ready` if it is ACTIVE and not disabled. */
  readonly serve?: (account: ConnectedAccount, error: RefreshError) => RefreshOutcome | undefined
}

const noVerdict = (error: RefreshError): boolean =>
  error.disposition !== "rejected" || mayPass(error) || error._tag === "RefreshFailed"

const serveActive = (account: ConnectedAccount): RefreshOutcome | undefined =>
  account.status === "ACTIVE" && !account.isDisabled ? Ready.make({ id: account.id }) : undefined

/**
 * Replaces a failed refresh with an answer from the account's state. The original failure remains if `when` is false, if the account cannot be read,
 * or if `serve` returns `undefined`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { ConnectedAccount, ConnectedAccountId, ConnectedAccounts, Resilience, Unavailable } from "@rekindle/core"
 * import { Effect, Layer, Schema } from "effect"
 *
 * const id = ConnectedAccountId.make("ca_4CkFF_cKATwg")
 * const active = Schema.decodeSync(ConnectedAccount)({
 *   id,
 *   status: "ACTIVE",
 *   status_reason: null,
 *   toolkit: { slug: "gmail" },
 *   auth_config: { id: "ac_1" },
 *   user_id: "user",
 *   is_disabled: false,
 *   created_at: new Date(0).toISOString(),
 *   updated_at: new Date(0).toISOString(),
 *   state: { authScheme: "OAUTH2", val: {} }
 * })
 * const busy = Layer.succeed(ConnectedAccounts, {
 *   refresh: () => Effect.fail(new Unavailable({ message: "busy" })),
 *   get: () => Effect.succeed(active)
 * })
 *
 * const outcome = await ConnectedAccounts.use((accounts) => accounts.refresh(id)).pipe(
 *   Effect.provide(Resilience.layer(Resilience.fallback()).pipe(Layer.provide(busy))),
 *   Effect.runPromise
 * )
 * assert.equal(outcome._tag, "Ready")
 * ```
 */
export const fallback = (options: FallbackOptions = {}): Policy => {
  const { serve = serveActive, when = noVerdict } = options
  const description = {
    when: options.when === undefined ? "no verdict" : "function",
    serve: options.serve === undefined ? "ready if active" : "function"
  }
  return policy("fallback", description, (next) =>
    Effect.map(Events, (events) => ({
      get: next.get,
      refresh: (id, options) =>
        next.refresh(id, options).pipe(
          Effect.catch((error) =>
            when(error)
              ? Effect.matchEffect(next.get(id), {
                  onFailure: () => Effect.fail(error),
                  onSuccess: (account) => {
                    const outcome = serve(account, error)
                    if (outcome === undefined) return Effect.fail(error)
                    events?.publish({ _tag: "FallbackServed", accountId: id, error: error._tag })
                    return Effect.succeed(outcome)
                  }
                })
              : Effect.fail(error)
          )
        )
    }))
  )
}
