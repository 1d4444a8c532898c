/**
 * Withdraws credentials at their providers (RFC 7009) until the provider confirms, and then erases them.
 *
 * A revoked account that still has a credential has an unconfirmed withdrawal. It keeps a due time, so that a renewer of any process tries
 * again, at growing intervals.
 *
 * @module
 */
import { Clock, Duration, Effect, Random, Schedule } from "effect"
import type { Account, Withdrawal } from "../account/Account.ts"
import type { AccountStore, StoreError } from "../account/AccountStore.ts"
import { updateAccount } from "../account/updateAccount.ts"
import type { Revocation } from "../answer/Revocation.ts"
import { judgement, observed } from "./observe.ts"
import type * as Credential from "../account/Credential.ts"
import type { AuthConfig } from "@rekindle/core"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import type { AuthStrategies } from "../strategies/AuthStrategy.ts"
import type { VaultError } from "../vault/CredentialVault.ts"

interface Given {
  readonly store: AccountStore["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
}

/** The first and the longest pause between attempts, in milliseconds. Each pause is twice as long as the one before, and jittered. */
const firstPause = Duration.toMillis("30 seconds")
const longestPause = Duration.toMillis("1 day")

const pauseAfter = (attempts: number) =>
  Effect.map(Random.next, (jitter) =>
    Math.round(Math.min(longestPause, firstPause * 2 ** Math.max(0, attempts - 1)) * (0.75 + 0.5 * jitter))
  )

/** The state of a withdrawal before its first attempt. The renewer tries it at `renewAt` if this process does not. */
export const pendingWithdrawal = (now: number): Pick<Account, "renewAt" | "withdrawal"> => ({
  renewAt: now + firstPause,
  withdrawal: { state: "pending", attempts: 0, answer: null }
})

/** The state for an account that never had a credential. */
const nothing: Withdrawal = { state: "confirmed", attempts: 0, answer: null }

/** Makes the withdrawal of a revoked account's credential. It makes one attempt and stores the result. */
export const makeWithdraw = ({ configs, open, store, strategies }: Given) => {
  const attempt = (account: Account): Effect.Effect<Revocation, StoreError> =>
    Effect.gen(function* () {
      if (account.generation === 0) return { _tag: "Confirmed" } as const
      const config = yield* configs.load(account)
      const credential = yield* open(account)
      const revoke = strategies.get(account.scheme)?.revoke
      return revoke === undefined
        ? ({ _tag: "Unsupported" } as const)
        : yield* observed(
            {
              operation: "withdrawal",
              provider: config.profile.name,
              accountId: account.id,
              attempt: (account.withdrawal?.attempts ?? 0) + 1
            },
            judgement
          )(revoke({ accountId: account.id, config, credential }))
    }).pipe(
      Effect.catchTags({
        AuthConfigError: () => Effect.succeed<Revocation>({ _tag: "Unconfirmed", code: "auth_config_invalid" }),
        VaultError: () => Effect.succeed<Revocation>({ _tag: "Unconfirmed", code: "credential_unreadable" })
      }),
      Effect.catchDefect(() => Effect.succeed<Revocation>({ _tag: "Unconfirmed", code: "strategy_failed" }))
    )

  /** The changes to the account after an answer. */
  const outcome = Effect.fnUntraced(function* (from: Account, revocation: Revocation) {
    // Read after the answer, because the provider may have taken long.
    const now = yield* Clock.currentTimeMillis
    const attempts = (from.withdrawal?.attempts ?? 0) + 1
    if (revocation._tag === "Unconfirmed") {
      const withdrawal: Withdrawal = { state: "pending", attempts, answer: revocation.code }
      return { withdrawal, renewAt: now + (yield* pauseAfter(attempts)) }
    }
    const state = revocation._tag === "Confirmed" ? "confirmed" : "unsupported"
    const withdrawal: Withdrawal = { state, attempts, answer: null }
    return { withdrawal, renewAt: null, credential: null, previousCredential: null, expiresAt: null }
  })

  /** Tries once, and returns the state. An account that is not revoked, or has no credential, is not changed. */
  return Effect.fnUntraced(function* (account: Account): Effect.fn.Return<Withdrawal, StoreError> {
    let tried: { readonly generation: number; readonly revocation: Revocation } | undefined
    const { _tag, account: updated } = yield* updateAccount(store, account, undefined, {
      when: ({ credential, status, withdrawal }) =>
        status === "REVOKED" && (credential !== null || withdrawal?.state === "pending"),
      patch: Effect.fnUntraced(function* (from: Account): Effect.fn.Return<Partial<Account>, StoreError> {
        // A renewal in flight may have committed another credential meanwhile.
        if (tried?.generation !== from.generation)
          tried = { generation: from.generation, revocation: yield* attempt(from) }
        return yield* outcome(from, tried.revocation)
      })
    })
    const withdrawal = updated.withdrawal ?? nothing
    if (_tag === "Written" && withdrawal.attempts === 1 && withdrawal.state === "pending") {
      yield* Effect.logWarning("a withdrawal is not confirmed; it will be tried again", {
        accountId: account.id,
        answer: withdrawal.answer
      })
    }
    return withdrawal
  })
}

/** The pauses between attempts to withdraw tokens that are not committed. */
const discardPauses = Schedule.exponential("30 seconds").pipe(Schedule.upTo({ times: 8 }))

/**
 * Makes the withdrawal of tokens that were issued for an account and are not committed. No row has them, so only this process tries, for
 * about two hours.
 */
export const makeDiscard =
  (strategies: AuthStrategies["Service"]) =>
  (account: Account, config: AuthConfig, credential: Credential.Credential): Effect.Effect<void> => {
    const revoke = strategies.get(account.scheme)?.revoke
    if (revoke === undefined) return Effect.void
    return Effect.suspend(() => revoke({ accountId: account.id, config, credential })).pipe(
      Effect.flatMap((revocation) => (revocation._tag === "Unconfirmed" ? Effect.fail(revocation.code) : Effect.void)),
      Effect.retry(discardPauses),
      Effect.catchCause(() =>
        Effect.logWarning("tokens that were not committed could not be withdrawn", { accountId: account.id })
      )
    )
  }
