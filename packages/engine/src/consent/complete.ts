/**
 * Completes a consent from the callback of the provider. A state is used once, and its result is stored. A double click, a reload and a
 * second tab get the result of the first visit, and send no code.
 *
 * The session of the browser is checked first: a visit with another session learns nothing and changes nothing. A conditional write decides
 * which of several visits exchanges the code, across processes. The others wait for its result. If none appears in time, they report the
 * account as it is.
 *
 * @module
 */
import type { ConsentResult } from "@rekindle/core"
import { Clock, Duration, Effect, Option, Result } from "effect"
import type { SecureRandom } from "effect/crypto"
import { type Account, nextGrantId, type StatusEvent, visibleStatus } from "../account/Account.ts"
import type { AccountStore, ConsentAttempt } from "../account/AccountStore.ts"
import { updateAccount } from "../account/updateAccount.ts"
import * as Credential from "../account/Credential.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { type AuthStrategies, ConsentError } from "../strategies/AuthStrategy.ts"
import type { makeExchange } from "./exchange.ts"
import { hashOf, isFor, type Memo, type Seals } from "./sealedAttempt.ts"

/** How long the result of a used state is stored. */
const rememberedFor = Duration.toMillis("1 day")

/** The interval between two reads of another visit's result, and their number: half a minute in all. */
const pollInterval = Duration.millis(250)
const maxPolls = 120

/** Failures that end a consent, with the status reason that the account gets. */
const refusals = new Map<ConsentError["reason"], Extract<StatusEvent, { readonly _tag: "ConsentRefused" }>["reason"]>([
  ["denied", "consent_denied"],
  ["refused", "consent_failed"],
  ["identity-mismatch", "identity_mismatch"]
])

const unknown = () =>
  new ConsentError({
    reason: "unknown-state",
    message: "this link is not known here, is too old, or was made for another browser",
    code: null
  })

const unfinished = () =>
  new ConsentError({
    reason: "unavailable",
    message: "this link is in use, or its consent was interrupted: read the account",
    code: null
  })

interface Given {
  readonly store: AccountStore["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly seals: Seals
  readonly random: SecureRandom.SecureRandom["Service"]
  readonly callbackUrl: string
  readonly exchange: ReturnType<typeof makeExchange>
}

/** Makes `complete`. */
export const makeComplete = ({ callbackUrl, configs, exchange, random, seals, store, strategies }: Given) => {
  const resultOf = (
    { redirectUrl }: ConsentAttempt,
    account: Account,
    failure?: ConsentError
  ): Effect.Effect<ConsentResult> =>
    Effect.map(Clock.currentTimeMillis, (now) => ({
      accountId: account.publicId,
      status: visibleStatus(account, now).status,
      redirectUrl: redirectUrl ?? undefined,
      failure
    }))

  /** The attempt of a state, and the account as it is now. */
  const find = Effect.fnUntraced(function* (stateHash: string) {
    const attempt = yield* store.findAttempt(stateHash)
    if (Option.isNone(attempt) || attempt.value.expiresAt <= (yield* Clock.currentTimeMillis)) return yield* unknown()
    const account = yield* store.find(attempt.value.accountId)
    if (Option.isNone(account) || account.value.status === "REVOKED") return yield* unknown()
    return { account: account.value, attempt: attempt.value }
  })

  /** Everything that the exchange needs, read before the state is used. */
  const prepare = Effect.fnUntraced(function* (account: Account, { allowAnotherIdentity }: Memo) {
    const config = yield* configs
      .inService(account)
      .pipe(
        Effect.mapError((error) =>
          error._tag === "StoreError"
            ? new ConsentError({ reason: "unavailable", message: "the account store is unavailable", code: null })
            : new ConsentError({ reason: "misconfigured", message: error.message, code: null })
        )
      )
    const strategy = strategies.get(account.scheme)
    if (strategy?.consent === undefined)
      return yield* new ConsentError({ reason: "misconfigured", message: "the scheme has no consent", code: null })
    return {
      account,
      strategy,
      consent: strategy.consent,
      connection: { accountId: account.id, config, credential: Credential.empty },
      allowAnotherIdentity: allowAnotherIdentity ?? config.allowAnotherIdentity
    }
  })

  /** Changes the account if the failure says that the consent was refused. Returns the account. */
  const refuse = Effect.fnUntraced(function* (account: Account, { expiresAt }: ConsentAttempt, failure: ConsentError) {
    const reason = refusals.get(failure.reason)
    if (reason === undefined) return account
    // Only the latest attempt ends the wait for consent. While a later one is open, somebody may be looking at its page.
    const updated = yield* updateAccount(
      store,
      account,
      { _tag: "ConsentRefused", reason },
      {
        patch: ({ consentUntil }) =>
          Effect.succeed(consentUntil === null || consentUntil <= expiresAt ? { consentUntil: null } : {})
      }
    )
    return updated.account
  })

  /** Uses the state and exchanges the code. Undefined if another visit was faster. */
  const use = Effect.fnUntraced(function* (
    attempt: ConsentAttempt,
    { memo, session }: Memo,
    prepared: Effect.Success<ReturnType<typeof prepare>>,
    request: { readonly state: string; readonly parameters: URLSearchParams }
  ) {
    const { account } = prepared
    const now = yield* Clock.currentTimeMillis
    const grantId = nextGrantId(yield* random.uuidV4(), account)
    const end = { grantId, ...(session === undefined ? {} : { session }) }
    const taken: ConsentAttempt = {
      ...attempt,
      sealed: yield* seals.sealEnd(account, attempt, end),
      takenAt: now,
      expiresAt: now + rememberedFor
    }
    if (!(yield* store.writeAttempt({ from: attempt, to: taken }))) return undefined
    const remember = (failure: ConsentError | null) =>
      seals.sealEnd(account, attempt, { ...end, failure }).pipe(
        Effect.flatMap((sealed) => store.writeAttempt({ from: taken, to: { ...taken, sealed } })),
        Effect.catch(({ message }) => Effect.logWarning("the result of a consent could not be stored", { message }))
      )
    return yield* exchange({ ...prepared, grantId, request: { ...request, callbackUrl, memo } }).pipe(
      Effect.matchEffect({
        onFailure: (failure) =>
          refuse(account, attempt, failure).pipe(
            Effect.ensuring(remember(failure)),
            Effect.flatMap((account) => resultOf(attempt, account, failure))
          ),
        onSuccess: (account) => Effect.andThen(remember(null), resultOf(attempt, account))
      })
    )
  }, Effect.uninterruptible)

  return Effect.fnUntraced(function* (parameters: URLSearchParams, session?: string) {
    const state = parameters.get("state") ?? ""
    if (state === "") return yield* unknown()
    for (let polls = 1; ; polls++) {
      const { account, attempt } = yield* find(hashOf(state))
      if (attempt.takenAt === null) {
        const memo = yield* seals.openMemo(account, attempt)
        if (!isFor(memo, session)) return yield* unknown()
        const prepared = yield* Effect.result(prepare(account, memo))
        if (Result.isFailure(prepared)) return yield* resultOf(attempt, account, prepared.failure)
        const result = yield* use(attempt, memo, prepared.success, { state, parameters })
        if (result !== undefined) return result
        continue
      }
      const end = yield* seals.openEnd(account, attempt)
      if (!isFor(end, session)) return yield* unknown()
      // The grant of the account counts more than the stored failure, because the answer or the commit may have succeeded later.
      if (account.grantId === end.grantId) return yield* resultOf(attempt, account)
      if (end.failure !== undefined) return yield* resultOf(attempt, account, end.failure ?? undefined)
      if (polls >= maxPolls) return yield* resultOf(attempt, account, unfinished())
      // The wait can be interrupted even if the caller is uninterruptible, because nothing is lost.
      yield* Effect.interruptible(Effect.sleep(pollInterval))
    }
  })
}
