/**
 * Actions of the application on an account: create a link to consent, enable, disable, revoke and remove.
 *
 * @module
 */
import { type ConnectedAccountId, InvalidRequest, type LinkOptions, RefreshUnsupported } from "@rekindle/core"
import { Clock, DateTime, Effect } from "effect"
import type { Consent } from "../consent/Consent.ts"
import { storeDown } from "../renewal/renewal.ts"
import { pendingWithdrawal } from "../renewal/withdrawal.ts"
import { type Accounts, notFound } from "./accounts.ts"

interface Given {
  readonly accounts: Accounts
  readonly consent: Consent["Service"]
}

/** Makes `link`, `enable`, `disable`, `revoke` and `remove`. */
export const makeLifecycle = ({ accounts, consent }: Given) => {
  const { apply, find, store, strategies, tokens } = accounts
  return {
    link: Effect.fnUntraced(function* (id: ConnectedAccountId, options?: LinkOptions) {
      const account = yield* find(id)
      if (account.status === "INACTIVE" || account.status === "REVOKED") {
        return yield* new InvalidRequest({
          message: `the account is ${account.status} and cannot be connected`,
          slug: "account_not_refreshable"
        })
      }
      if (strategies.get(account.scheme)?.consent === undefined) {
        return yield* new RefreshUnsupported({
          message: `the scheme ${account.scheme} has no consent`,
          slug: "scheme_unsupported"
        })
      }
      const { openUntil, status, url } = yield* consent.start(account, options)
      return { url, openUntil: DateTime.makeUnsafe(openUntil), status }
    }),

    disable: Effect.fnUntraced(function* (id: ConnectedAccountId) {
      yield* apply(
        yield* find(id),
        { _tag: "Disabled" },
        { when: ({ status }) => status === "ACTIVE", patch: () => Effect.succeed({ renewAt: null }) }
      )
    }),

    enable: Effect.fnUntraced(function* (id: ConnectedAccountId) {
      yield* apply(
        yield* find(id),
        { _tag: "Enabled" },
        {
          when: ({ status }) => status === "INACTIVE",
          // While the account was disabled its refresh token was not used, and may be about to expire.
          patch: ({ scheme }, _, now) =>
            Effect.succeed({ renewAt: strategies.get(scheme)?.renewal === undefined ? null : now })
        }
      )
    }),

    revoke: Effect.fnUntraced(function* (id: ConnectedAccountId) {
      const account = yield* apply(
        yield* find(id),
        { _tag: "Revoked" },
        {
          when: ({ status }) => status !== "REVOKED",
          patch: (_from, _next, now) => Effect.succeed({ ...pendingWithdrawal(now), consentUntil: null })
        }
      )
      const { answer, state } = yield* Effect.mapError(tokens.withdraw(account), storeDown)
      return { withdrawn: state, answer }
    }),

    remove: Effect.fnUntraced(function* (id: ConnectedAccountId) {
      const account = yield* find(id)
      const now = yield* Clock.currentTimeMillis
      if (!(yield* Effect.mapError(store.remove(account, now), storeDown))) return yield* notFound(id)
    })
  }
}
