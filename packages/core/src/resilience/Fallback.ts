/**
 * Serving what is known to be good. A refresh that failed says nothing about the credential still in service: it may have an hour to
 * live. When the failure is about the way there and the account reads fine, a caller may prefer to go on with what it has.
 *
 * What may surprise: it is not part of `standard`. A fallback hides a failed refresh, so a person has to want it. It never answers for
 * a verdict on the account or the request (4xx, 501), and never when the account cannot be read. And ACTIVE means that the credential
 * is not known to be dead; how long its access token still lives is not part of what `get` answers. Where that matters, decide in
 * `serve` (by `updatedAt`, say), or let `withRefresh` find out.
 *
 * @module
 */
import { Effect } from "effect"
import type { ConnectedAccount } from "../ConnectedAccount.ts"
import { mayPass, type RefreshError } from "../RefreshError.ts"
import { Ready, type RefreshOutcome } from "../RefreshOutcome.ts"
import { Events } from "./Events.ts"
import { type Policy, policy } from "./Policy.ts"

/** Which failures are covered, and by what. */
export interface FallbackOptions {
  /** Which failures may be covered. Default: every one but a verdict (a `rejected` other than 429, 500 and 503). */
  readonly when?: ((error: RefreshError) => boolean) | undefined
  /** What to answer for the account as it reads now; `undefined` lets the failure through. Default: `Ready` if ACTIVE and not disabled. */
  readonly serve?: (account: ConnectedAccount, error: RefreshError) => RefreshOutcome | undefined
}

const noVerdict = (error: RefreshError): boolean =>
  error.disposition !== "rejected" || mayPass(error) || error._tag === "RefreshFailed"

const serveActive = (account: ConnectedAccount): RefreshOutcome | undefined =>
  account.status === "ACTIVE" && !account.isDisabled ? Ready.make({ id: account.id }) : undefined

/**
 * Covers a failed refresh with what the account says of itself. The original failure comes through if it does not apply, if the
 * account cannot be read, or if `serve` declines.
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
