/**
 * The commit of issued tokens: a compare-and-set that is repeated on the current row if the row has changed.
 *
 * A status change is merged. Of two tokens of one grant, the one of the later lease wins. A new grant wins over the one that it replaced.
 *
 * @module
 */
import { Clock, Effect, Option, Schema, type Scope } from "effect"
import { type Account, credentialContext, grantNumber, transition, type Withdrawal } from "../account/Account.ts"
import type { AccountStore, StoreError } from "../account/AccountStore.ts"
import type { AuthConfig } from "@rekindle/core"
import * as Credential from "../account/Credential.ts"
import type { IssuedTokens } from "../answer/TokenResponse.ts"
import { compare } from "../answer/Identity.ts"
import * as Tokens from "../answer/Tokens.ts"
import type { CredentialVault, VaultError } from "../vault/CredentialVault.ts"
import { pendingWithdrawal } from "./withdrawal.ts"

/** Fields that order two answers of one account. */
export interface Origin {
  readonly event: "Renewed" | "ConsentCompleted"
  /** The grant id of the answer. */
  readonly grantId: string
  /** The account's grant id when the answer arrived. It differs from `grantId` after consent. */
  readonly heldGrantId: string
  /** The epoch of the lease under which the request was sent. After consent: the last epoch that was given out. */
  readonly epoch: number
  /** Epoch milliseconds. */
  readonly receivedAt: number
}

/** Whether the stored credential is newer than the answer, or is the answer itself. */
export const overtaken = (current: Account, origin: Origin): boolean =>
  origin.event === "Renewed"
    ? // Leases order them, however late an answer comes. Of two under one lease the first that is committed stays.
      current.grantId !== origin.grantId || (current.obtainedEpoch ?? 0) >= origin.epoch
    : current.grantId === origin.grantId || (current.grantId !== origin.heldGrantId && isLaterGrant(current, origin))

/**
 * Whether the account has a later grant than this one. A process may have died after it had committed this one, and another consent
 * followed. Clocks decide only where numbers do not: between consents at the same time, and after a restored snapshot, which takes the
 * numbers back.
 */
const isLaterGrant = (current: Account, origin: Origin): boolean =>
  grantNumber(current) > grantNumber(origin) || current.obtainedAt >= origin.receivedAt

/**
 * The result of a commit. `Committed`: the account has the tokens. `Overtaken`: a newer credential was committed first, and `account` has
 * it. `Refused`: the tokens belong to another person, so the account was not changed and the tokens are withdrawn.
 */
export type Committed = { readonly _tag: "Committed" | "Overtaken" | "Refused"; readonly account: Account }

/** Tokens to commit. */
export interface Commit {
  /** The account as last read. */
  readonly account: Account
  readonly config: AuthConfig
  /** The credential that the tokens are merged into. */
  readonly held: Credential.Credential
  readonly tokens: IssuedTokens
  readonly extras?: Credential.Extras | undefined
  /** Whether the tokens may belong to another person or workspace than the account does. */
  readonly allowAnotherIdentity?: boolean | undefined
  readonly origin: Origin
}

/** The maximum number of auth configs that are warned about. */
const warnedAtMost = 10_000

/** Makes the commit. */
export const makeCommit = ({
  discard,
  open,
  scope,
  store,
  vault,
  withdraw
}: {
  /** Withdraws tokens that are not committed. */
  readonly discard: (account: Account, config: AuthConfig, credential: Credential.Credential) => Effect.Effect<void>
  readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
  readonly scope: Scope.Scope
  readonly store: AccountStore["Service"]
  readonly vault: CredentialVault["Service"]
  readonly withdraw: (account: Account) => Effect.Effect<Withdrawal, StoreError>
}) => {
  const warned = new Set<string>()
  /** Warns once for each auth config, because its profile is what has to change. */
  const warnOfAssumedLife = ({ id, projectId }: AuthConfig) =>
    Effect.suspend(() => {
      const key = `${projectId}/${id}`
      if (warned.has(key) || warned.size >= warnedAtMost) return Effect.void
      warned.add(key)
      return Effect.logWarning(
        'the provider does not state how long its access tokens live; one hour is assumed; set accessTokenTtl in the profile, to "never" if they do not expire',
        { projectId, authConfigId: id }
      )
    })

  return Effect.fnUntraced(function* ({
    account,
    allowAnotherIdentity = false,
    config,
    extras,
    held,
    origin,
    tokens
  }: Commit): Effect.fn.Return<Committed, StoreError> {
    const { event, receivedAt } = origin
    const given = Tokens.merge(Credential.empty, tokens, extras)
    const isAnotherIdentity = (held: Credential.Credential) =>
      event === "ConsentCompleted" && !allowAnotherIdentity && compare(held, given, config.profile) === "another"
    const refused = (account: Account) =>
      Effect.as(Effect.forkIn(discard(account, config, given), scope), { _tag: "Refused" as const, account })
    const sealFor = Effect.fnUntraced(function* (from: Account, held: Credential.Credential) {
      const credential =
        event === "Renewed"
          ? Tokens.merge(held, tokens, extras)
          : Tokens.consented(held, tokens, extras, config.profile)
      const text = yield* Effect.orDie(Schema.encodeEffect(Credential.CredentialJson)(credential))
      return yield* vault.seal(credentialContext({ ...from, generation: from.generation + 1 }), text)
    })
    if (isAnotherIdentity(held)) return yield* refused(account)
    let sealed = yield* sealFor(account, held)
    const life = Tokens.lifeOf(tokens, config.profile, event === "Renewed" ? held : Credential.empty)
    if (life.assumed) yield* warnOfAssumedLife(config)
    const expiresAt = life.millis === null ? null : receivedAt + life.millis
    const renewAt = yield* Tokens.renewalTime(config.profile, receivedAt, expiresAt)
    let from = account
    // `updateAccount` does not fit: if the row has changed, the answer may be void, belong to another person, or need to be sealed again.
    while (true) {
      const next = transition(from, { _tag: event })
      const now = yield* Clock.currentTimeMillis
      const to: Account = {
        ...from,
        status: next.status,
        statusReason: next.statusReason,
        generation: from.generation + 1,
        grantId: origin.grantId,
        credential: sealed,
        previousCredential: from.credential,
        obtainedAt: receivedAt,
        obtainedEpoch: event === "Renewed" ? origin.epoch : undefined,
        expiresAt,
        renewAt: next.status === "ACTIVE" ? renewAt : null,
        consentUntil: event === "ConsentCompleted" ? null : from.consentUntil,
        updatedAt: now,
        ...(next.status === "REVOKED" ? pendingWithdrawal(now) : {})
      }
      const written = yield* store.write({ from, to, announce: next.announce })
      if (Option.isSome(written)) {
        const account = written.value
        // The account was revoked while the answer was on its way, so the new tokens are withdrawn too.
        if (to.status === "REVOKED") yield* Effect.forkIn(Effect.ignore(withdraw(account)), scope)
        return { _tag: "Committed", account }
      }
      const current = yield* store.find(account.id)
      // The account was removed, so the tokens are not needed.
      if (Option.isNone(current)) return { _tag: "Overtaken", account }
      // The application may have changed attributes or secrets within the generation.
      const moved = current.value.credential !== from.credential
      const holds = moved ? yield* Effect.orElseSucceed(open(current.value), () => held) : held
      if (moved && isAnotherIdentity(holds)) return yield* refused(current.value)
      if (overtaken(current.value, origin)) return { _tag: "Overtaken", account: current.value }
      // Fields that the answer does not mention come from the replaced credential, which has changed.
      if (moved) sealed = yield* sealFor(current.value, holds)
      from = current.value
    }
  })
}
