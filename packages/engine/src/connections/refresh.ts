/**
 * `refresh`: renews a credential, validates a static credential on request, and starts a consent if a person is needed.
 *
 * @module
 */
import {
  type ConnectedAccountId,
  type RefreshError,
  RefreshFailed,
  RefreshOutcome,
  type RefreshOptions,
  RefreshUnsupported,
  Unavailable
} from "@rekindle/core"
import { Clock, Duration, Effect } from "effect"
import { type Account, type StatusEvent, visibleStatus } from "../account/Account.ts"
import type { Consent } from "../consent/Consent.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"
import type { CredentialCache } from "../renewal/CredentialCache.ts"
import type * as Idempotency from "../renewal/Idempotency.ts"
import { judgement, observed } from "../renewal/observe.ts"
import type { RefreshCoordinator } from "../renewal/RefreshCoordinator.ts"
import { configFailure, pastDeadline, timeUntil } from "../renewal/renewal.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import type { Connection } from "../strategies/AuthStrategy.ts"
import type { Accounts } from "./accounts.ts"

interface Given {
  readonly accounts: Accounts
  readonly cache: CredentialCache["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly consent: Consent["Service"]
  readonly coordinator: RefreshCoordinator["Service"]
  readonly once: Idempotency.Once
}

/** A refresh with an idempotency key continues after its caller's deadline, so that a repeated request finds its answer. */
const withoutDeadline = ({ deadline: _, ...options }: RefreshOptions): RefreshOptions => options

/** Makes `refresh`. */
export const makeRefresh = ({ cache, accounts, configs, consent, coordinator, once }: Given) => {
  const { apply, find, strategies, tokens } = accounts
  const limited = makeTimeLimit()

  /**
   * Holds the caller's deadline before and after the renewal, which holds it by itself: a store or a provider that hangs must not keep the
   * caller longer.
   */
  const inTime = <A, E>({ deadline }: RefreshOptions, sent: boolean, work: Effect.Effect<A, E>) =>
    deadline === undefined
      ? work
      : Effect.flatMap(timeUntil(deadline), (wait) => limited(work, wait, () => Effect.fail(pastDeadline(wait, sent))))

  /** Applies what a validation found, unless the account has a newer credential. */
  const applyTo = (account: Account, event: StatusEvent) =>
    apply(account, event, { when: ({ generation }) => generation === account.generation })

  const startConsent = (account: Account, { redirectUrl }: RefreshOptions) =>
    Effect.map(consent.start(account, { redirectUrl }), ({ status, url }) =>
      RefreshOutcome.cases.RedirectRequired.make({ id: account.publicId, redirectUrl: url, status })
    )

  const asItIs = (account: Account): Effect.Effect<RefreshOutcome> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const { status } = visibleStatus(account, now)
      return status === "ACTIVE"
        ? RefreshOutcome.cases.Ready.make({ id: account.publicId })
        : RefreshOutcome.cases.NotReady.make({ id: account.publicId, status })
    })

  /** Validates a static credential at the provider. Returns `undefined` if the auth config names no probe address. */
  const validate = Effect.fnUntraced(function* (account: Account) {
    const config = yield* Effect.mapError(configs.inService(account), configFailure)
    const credential = yield* Effect.mapError(
      tokens.open(account),
      () =>
        new RefreshFailed({
          message: "the stored credential cannot be opened with the keys of the ring",
          slug: "credential_unreadable"
        })
    )
    const connection: Connection = { accountId: account.id, config, credential }
    const probe = strategies.get(account.scheme)?.validate?.(connection)
    if (probe === undefined) return undefined
    const provider = config.profile.name
    const call = { operation: "validation", provider, accountId: account.id, attempt: 1 } as const
    const validity = yield* observed(call, judgement)(probe)
    switch (validity._tag) {
      case "Valid":
        return account.status === "ACTIVE" ? account : yield* applyTo(account, { _tag: "Renewed" })
      case "Rejected":
        return yield* applyTo(account, { _tag: "CredentialDead", reason: "credential_rejected" })
      case "Unverified":
        return yield* new Unavailable({
          message: "the credential could not be validated; whether it works is unknown",
          slug: "unverified",
          errors: [validity.reason],
          retryAfter: Duration.seconds(5)
        })
      case "Misconfigured":
        return yield* new RefreshFailed({
          message: "the credential cannot be validated until a setting is corrected",
          slug: "auth_config_invalid",
          errors: [validity.reason]
        })
    }
  })

  /** For an account that cannot be renewed: validates the credential on request, and starts a consent if the scheme has one. */
  const refreshStatic = Effect.fnUntraced(function* (account: Account, options: RefreshOptions) {
    const consents = strategies.get(account.scheme)?.consent !== undefined
    const tries =
      options.validateCredentials === true && account.generation > 0 && (!consents || account.status === "ACTIVE")
    const tried = tries ? yield* validate(account) : undefined
    if (consents && tried?.status !== "ACTIVE") return yield* startConsent(tried ?? account, options)
    if (tries && tried === undefined) {
      return yield* new RefreshUnsupported({
        message: "this auth config names no probe address, so a credential cannot be validated",
        slug: "validation_unsupported"
      })
    }
    return yield* asItIs(tried ?? account)
  })

  const renew = Effect.fnUntraced(function* (
    account: Account,
    options: RefreshOptions
  ): Effect.fn.Return<RefreshOutcome, RefreshError> {
    const renewal = yield* coordinator.renew(account.id, {
      deadline: options.deadline,
      seen: account,
      insist: options.validateCredentials,
      refused: options.tokenRefused === true ? account.generation : 0
    })
    switch (renewal._tag) {
      case "Renewed":
      case "Served":
      case "Rejected":
        return yield* asItIs(renewal.account)
      case "ConsentNeeded":
        return yield* inTime(options, true, startConsent(renewal.account, options))
      case "Static":
        return yield* inTime(options, true, refreshStatic(renewal.account, options))
    }
  })

  return (id: ConnectedAccountId, options: RefreshOptions = {}): Effect.Effect<RefreshOutcome, RefreshError> =>
    Effect.gen(function* () {
      const account = yield* inTime(
        options,
        false,
        Effect.andThen(consent.checkRedirect(options.redirectUrl), find(id))
      )
      yield* cache.drop(account)
      const { idempotencyKey } = options
      return yield* idempotencyKey === undefined
        ? renew(account, options)
        : once(idempotencyKey, account, options, renew(account, withoutDeadline(options)))
    })
}
