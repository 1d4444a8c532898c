/**
 * Actions of the application on an account: create a link to consent, enable, disable, revoke and remove.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  InvalidRequest,
  type LinkOptions,
  RefreshUnsupported,
  type RevokeOptions
} from "@rekindle/core"
import { Clock, DateTime, Effect } from "effect"
import type { Account } from "../account/Account.ts"
import type { Consent } from "../consent/Consent.ts"
import { configFailure, storeDown } from "../renewal/renewal.ts"
import { pendingWithdrawal } from "../renewal/withdrawal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type Accounts, notFound } from "./accounts.ts"

interface Given {
  readonly accounts: Accounts
  readonly configs: AuthConfigs["Service"]
  readonly consent: Consent["Service"]
}

/** Makes `link`, `enable`, `disable`, `revoke` and `remove`. */
export const makeLifecycle = ({ accounts, configs, consent }: Given) => {
  const { apply, find, store, strategies, tokens } = accounts

  /** Whether the provider withdraws credentials, as far as it is known. */
  const isRevocable = Effect.fnUntraced(function* (account: Account) {
    const strategy = strategies.get(account.scheme)
    if (strategy?.revoke === undefined) return false
    if (strategy.revocable === undefined) return true
    return yield* strategy.revocable(yield* Effect.mapError(configs.load(account), configFailure))
  })

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

    revoke: Effect.fnUntraced(function* (id: ConnectedAccountId, { ifUnsupported }: RevokeOptions = {}) {
      const found = yield* find(id)
      if (ifUnsupported === "refuse" && found.status !== "REVOKED" && !(yield* isRevocable(found))) {
        return yield* new InvalidRequest({
          message: "the provider cannot withdraw the account's credential; nothing was changed",
          slug: "revocation_unsupported"
        })
      }
      const account = yield* apply(
        found,
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
