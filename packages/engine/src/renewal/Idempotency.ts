/**
 * Replays the first answer under an idempotency key, across restarts.
 *
 * A caller that lost an answer repeats the call with the same key. It gets the first answer, and no second renewal happens. Only final
 * answers are stored. After "nothing was done" or "the result is unknown" the call may run again; the engine makes that safe.
 *
 * An answer describes the account at that time. If the account has another status since, or the link in the answer has expired, the answer
 * is not replayed. The repeated call is refused, and nothing is done.
 *
 * @module
 */
import {
  AccountNotFound,
  type ConnectedAccountId,
  CurrentProject,
  InvalidRequest,
  KnownStatus,
  type RefreshError,
  RefreshOutcome,
  type RefreshOptions,
  RefreshUnsupported
} from "@rekindle/core"
import { Clock, Deferred, Duration, Effect, Exit, Option, Schema, type Scope } from "effect"
import { createHash } from "node:crypto"
import { type Account, visibleStatus } from "../account/Account.ts"
import { AccountStore } from "../account/AccountStore.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"
import { CredentialVault } from "../vault/CredentialVault.ts"
import { failed, pastDeadline, storeDown, timeUntil } from "./renewal.ts"

/** How long an answer is stored. */
export const rememberFor = Duration.hours(24)

/** Runs a refresh at most once for each idempotency key. */
export type Once = (
  key: string,
  account: Account,
  options: RefreshOptions,
  refresh: Effect.Effect<RefreshOutcome, RefreshError>
) => Effect.Effect<RefreshOutcome, RefreshError>

const Final = Schema.Union([InvalidRequest, AccountNotFound, RefreshUnsupported])
const isFinal = Schema.is(Final)

/** The state of the account that the answer describes. */
const Moment = Schema.Struct({ status: KnownStatus, generation: Schema.Int })

const Remembered = Schema.fromJsonString(
  Schema.Struct({
    about: Moment,
    answer: Schema.Union([Schema.Struct({ outcome: RefreshOutcome }), Schema.Struct({ error: Final })])
  })
)
type Remembered = typeof Remembered.Type

const momentOf = (account: Account, now: number): typeof Moment.Type => ({
  status: visibleStatus(account, now).status,
  generation: account.generation
})

/** Whether an answer still describes the account. A link is valid until one of the account's links has been used. */
const holds = ({ about, answer }: Remembered, account: Account, now: number): boolean => {
  const { generation, status } = momentOf(account, now)
  if (status !== about.status) return false
  const isLink = "outcome" in answer && answer.outcome._tag === "RedirectRequired"
  return !isLink || (generation === about.generation && account.consentUntil !== null && account.consentUntil > now)
}

/**
 * A digest makes long keys short. It does not have to hide them: a key opens nothing by itself, and the answer under it is sealed. A digest
 * keyed with the ring would lose the records of a day with each change of the newest key, and each lost record causes a second renewal.
 */
const hash = (...parts: ReadonlyArray<string>): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("base64url")

/** A keyed refresh in flight in this process. */
interface Running {
  readonly requestHash: string
  readonly answer: Deferred.Deferred<RefreshOutcome, RefreshError>
}

/** Makes the function. Answers are sealed, because a link to consent is a secret while it can be used. */
export const make: Effect.Effect<Once, never, AccountStore | CredentialVault | Scope.Scope> = Effect.gen(function* () {
  const store = yield* AccountStore
  const vault = yield* CredentialVault
  const scope = yield* Effect.scope
  const running = new Map<string, Running>()
  const limited = makeTimeLimit()

  /** The context that an answer is sealed in. The hash of the key covers the project. */
  const place = (keyHash: string) => ({ purpose: "idempotent-answer", projectId: "", owner: keyHash }) as const

  const reused = () =>
    new InvalidRequest({
      message: "this idempotency key was used for another request",
      slug: "idempotency_key_reused",
      suggestedFix: "use a new key for each refresh"
    })

  const outdated = () =>
    new InvalidRequest({
      message: "the account has changed since the answer under this idempotency key",
      slug: "idempotency_key_outdated",
      suggestedFix: "read the account; use a new key to refresh it again"
    })

  /** The stored answer, if there is one and it can be opened. */
  const recall = Effect.fnUntraced(
    function* (keyHash: string, account: Account, requestHash: string) {
      const now = yield* Clock.currentTimeMillis
      const expireBefore = now - Duration.toMillis(rememberFor)
      const record = yield* store.reserveKey({ keyHash, accountId: account.id, requestHash, now, expireBefore })
      if (Option.isNone(record)) return undefined
      if (record.value.requestHash !== requestHash) return yield* reused()
      if (record.value.answer === null) return undefined
      const recalled = yield* vault
        .open(place(keyHash), record.value.answer)
        .pipe(Effect.flatMap(Schema.decodeEffect(Remembered)), Effect.option)
      if (Option.isNone(recalled)) return undefined
      return holds(recalled.value, account, now) ? recalled.value.answer : yield* outdated()
    },
    Effect.catchTag("StoreError", () => Effect.fail(storeDown()))
  )

  const remember = Effect.fnUntraced(
    function* (keyHash: string, id: ConnectedAccountId, exit: Exit.Exit<RefreshOutcome, RefreshError>) {
      const error = Exit.findErrorOption(exit).pipe(Option.filter(isFinal), Option.getOrUndefined)
      const answer = Exit.isSuccess(exit) ? { outcome: exit.value } : error === undefined ? undefined : { error }
      const account = Option.getOrUndefined(yield* store.find(id))
      if (answer === undefined || account === undefined) return yield* store.settleKey(keyHash, null)
      const about = momentOf(account, yield* Clock.currentTimeMillis)
      const text = yield* Effect.orDie(Schema.encodeEffect(Remembered)({ about, answer }))
      yield* store.settleKey(keyHash, yield* vault.seal(place(keyHash), text))
    },
    // The refresh is already done. Without the record, a repeated call refreshes again.
    (write) => Effect.ignore(write)
  )

  const recallOrRefresh = Effect.fnUntraced(function* (
    keyHash: string,
    account: Account,
    requestHash: string,
    refresh: Effect.Effect<RefreshOutcome, RefreshError>
  ): Effect.fn.Return<RefreshOutcome, RefreshError> {
    const recalled = yield* recall(keyHash, account, requestHash)
    if (recalled === undefined) return yield* Effect.onExit(refresh, (exit) => remember(keyHash, account.id, exit))
    return yield* "outcome" in recalled ? Effect.succeed(recalled.outcome) : Effect.fail(recalled.error)
  })

  /** Joins the refresh in flight with that key, or starts one. The refresh continues when its callers leave. */
  const join = (keyHash: string, requestHash: string, work: Effect.Effect<RefreshOutcome, RefreshError>) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const existing = running.get(keyHash)
        if (existing !== undefined) return Effect.succeed(existing)
        const own: Running = { requestHash, answer: Deferred.makeUnsafe() }
        running.set(keyHash, own)
        return Effect.map(Effect.forkIn(work, scope), (fiber) => {
          // An observer also sees the end of a fiber that is stopped before its first step.
          fiber.addObserver((exit) => {
            running.delete(keyHash)
            Deferred.doneUnsafe(own.answer, Exit.hasInterrupts(exit) ? Effect.fail(shutDown()) : exit)
          })
          return own
        })
      })
    )

  return (key, account, options, refresh) =>
    Effect.gen(function* () {
      const keyHash = hash(yield* CurrentProject, key)
      const requestHash = hash(
        account.id,
        options.redirectUrl ?? "",
        String(options.validateCredentials === true),
        ...(options.tokenRefused === true ? ["token refused"] : [])
      )
      const first = yield* join(keyHash, requestHash, recallOrRefresh(keyHash, account, requestHash, refresh))
      if (first.requestHash !== requestHash) return yield* reused()
      if (options.deadline === undefined) return yield* Deferred.await(first.answer)
      const wait = yield* timeUntil(options.deadline)
      return yield* limited(Deferred.await(first.answer), wait, () => Effect.fail(pastDeadline(wait, true)))
    })
})

const shutDown = () =>
  failed("shutting_down", "this process is shutting down; the refresh may have been done, so read the account first")
