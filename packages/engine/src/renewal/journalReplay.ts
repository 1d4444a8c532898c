/**
 * Offers the answers in the journal to the commit: those that the store has not accepted yet, and those of a process that is gone.
 *
 * @module
 */
import { MonotonicClock } from "@rekindle/core"
import { Cause, Duration, Effect, Latch, Option, type Schema, type Scope } from "effect"
import type { Account } from "../account/Account.ts"
import type { AccountStore } from "../account/AccountStore.ts"
import { AuthConfigError } from "../account/AuthConfig.ts"
import * as Credential from "../account/Credential.ts"
import type { Observation } from "../answer/Verdict.ts"
import type { AuthConfigs } from "../strategies/AuthConfigs.ts"
import type { AuthStrategies, Connection } from "../strategies/AuthStrategy.ts"
import type { Sealed, VaultError } from "../vault/CredentialVault.ts"
import { type makeCommit, overtaken } from "./commit.ts"
import type { Journal, JournalEntry } from "./Journal.ts"
import type { JournalRecord } from "./journalRecord.ts"
import { decideConsent, decideRenewal, prolongs } from "./judge.ts"

/** The number of answers by result. Answers that were overtaken, or have no tokens, are dropped and not counted. */
export interface Settlement {
  readonly committed: number
  /** The store does not accept them yet. Their accounts' stored credentials are spent or void, and must not be sent. */
  readonly waiting: number
  /** They cannot be opened or read with the present keys and auth configs. They stay in the journal. */
  readonly unreadable: number
}

/**
 * How often an answer that is only in the journal is offered again. When the store is back, another process that finds the intent open
 * gives its owner two seconds before it sends the token again. The interval has to be well below that.
 */
const tryAgainAfter = Duration.millis(500)

/**
 * How long an answer that cannot be read is left alone: the first pause, and the longest, in milliseconds. Each pause is twice as long. An
 * operator has to repair something first, and a renewal of the account offers its answers at once.
 */
const unreadablePause = 10_000
const longestPause = 5 * 60_000

/** The maximum number of answers that are offered at the same time. */
const offersAtOnce = 8

/** How many answers are offered before other fibers get a turn. */
const offersInSlice = 32

/** The result of an offer. */
export type ReplayEnd = "committed" | "dropped" | "waiting" | "unreadable"

interface Options {
  readonly store: AccountStore["Service"]
  readonly configs: AuthConfigs["Service"]
  readonly strategies: AuthStrategies["Service"]
  readonly journal: Journal["Service"]
  readonly commit: ReturnType<typeof makeCommit>
  readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
  readonly openedOrEmpty: (account: Account) => Effect.Effect<Credential.Credential>
  readonly openRecord: (
    account: Account,
    sealed: Sealed
  ) => Effect.Effect<JournalRecord, VaultError | Schema.SchemaError>
  /** Whether an answer is being judged or committed. Then it is not offered. */
  readonly isProcessing: (entry: JournalEntry) => boolean
  readonly scope: Scope.Scope
}

/** Makes `offerAll`, `dueOf`, and `keepTrying`, which offers everything again in the background until the store has accepted it. */
export const makeReplay = Effect.fnUntraced(function* ({
  commit,
  configs,
  isProcessing,
  journal,
  open,
  openedOrEmpty,
  openRecord,
  scope,
  store,
  strategies
}: Options) {
  const judged = Effect.fnUntraced(function* (entry: JournalEntry, account: Account) {
    const { allowAnotherIdentity, attributes, body, contentType, secrets, status, ...origin } = yield* openRecord(
      account,
      entry.sealed
    )
    if (overtaken(account, origin)) return undefined
    const strategy = strategies.get(account.scheme)
    const config = yield* configs.load(account)
    if (strategy === undefined) {
      return yield* new AuthConfigError({ authConfigId: config.id, message: `no strategy for ${account.scheme}` })
    }
    const renews = origin.event === "Renewed"
    const held = yield* renews ? open(account) : openedOrEmpty(account)
    const connection: Connection = { accountId: account.id, config, credential: renews ? held : Credential.empty }
    const observation: Observation = {
      _tag: "Answer",
      status,
      contentType,
      retryAfter: undefined,
      body,
      receivedAt: origin.receivedAt
    }
    const verdict = (renews ? decideRenewal : decideConsent)(strategy, connection, observation)
    // A refusal in the journal changes nothing. The next renewal gets the same verdict again.
    const keeps = verdict._tag === "Renewed" || !renews || prolongs(verdict, observation, account)
    return keeps && "tokens" in verdict
      ? {
          account,
          allowAnotherIdentity,
          config,
          held,
          origin,
          tokens: verdict.tokens,
          extras: { secrets, attributes }
        }
      : undefined
  })

  /** The answers that could not be read, and when each is offered again in the background. */
  const unreadable = new WeakMap<JournalEntry, { readonly pause: number; readonly until: number }>()
  /** The answers that it is time to offer in the background. */
  const dueOf = (entries: ReadonlyArray<JournalEntry>) =>
    Effect.map(MonotonicClock.millis, (now) => entries.filter((entry) => (unreadable.get(entry)?.until ?? 0) <= now))
  const report = (entry: JournalEntry, error: string) =>
    Effect.flatMap(MonotonicClock.millis, (now) => {
      const known = unreadable.get(entry)
      const pause = known === undefined ? unreadablePause : Math.min(2 * known.pause, longestPause)
      unreadable.set(entry, { pause, until: now + pause })
      if (known !== undefined) return Effect.void
      // Only the name of the error is logged, because the value that does not decode is an opened answer.
      return Effect.logWarning("an answer in the journal cannot be committed; it is kept", {
        accountId: entry.accountId,
        error
      })
    })

  /** Offers one record to the commit. The record is removed unless it has to wait. */
  const offer = Effect.fnUntraced(function* (entry: JournalEntry) {
    const account = yield* store.find(entry.accountId)
    if (Option.isNone(account)) {
      // An unknown account may mean a wrong database. The answer is dropped only if the account is known to be removed.
      if (!(yield* store.isRemoved(entry.accountId)))
        return yield* Effect.as(report(entry, "no such account"), "unreadable" as const)
      yield* journal.settle(entry)
      return "dropped"
    }
    const issued = yield* judged(entry, account.value)
    const committed = issued !== undefined && (yield* commit(issued))._tag === "Committed"
    yield* journal.settle(entry)
    if (committed) yield* Effect.logInfo("committed an answer from the journal", { accountId: entry.accountId })
    return committed ? "committed" : "dropped"
  })

  const offerSlice = (entries: ReadonlyArray<JournalEntry>) =>
    Effect.forEach(
      entries,
      (entry): Effect.Effect<ReplayEnd> =>
        isProcessing(entry)
          ? Effect.succeed("dropped")
          : Effect.catchCause(Effect.timeout(offer(entry), "5 seconds"), (cause): Effect.Effect<ReplayEnd> => {
              const tag = Option.match(Cause.findErrorOption(cause), {
                onNone: () => "defect",
                onSome: ({ _tag }) => _tag
              })
              return tag === "StoreError" || tag === "TimeoutError"
                ? Effect.succeed("waiting")
                : Effect.as(report(entry, tag), "unreadable")
            }),
      { concurrency: offersAtOnce }
    )

  /** Offers answers in slices, so that thousands of them do not block the event loop. */
  const offerAll = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
    const ends: Array<ReplayEnd> = []
    for (let from = 0; from < entries.length; from += offersInSlice) {
      ends.push(...(yield* offerSlice(entries.slice(from, from + offersInSlice))))
      yield* Effect.yieldNow
    }
    return ends
  })

  /** Open while the journal may have an answer to offer: one that was not offered yet, or that the store did not accept. */
  const left = Latch.makeUnsafe()
  const keepTrying = Effect.asVoid(left.open)
  yield* left.await.pipe(
    Effect.andThen(left.close),
    // Answers that cannot be read now are offered again by `settle`.
    Effect.andThen(
      Effect.flatMap(journal.all, (entries) => offerAll(entries.filter((entry) => !unreadable.has(entry))))
    ),
    Effect.andThen((ends) => (ends.includes("waiting") ? left.open : Effect.void)),
    Effect.andThen(Effect.sleep(tryAgainAfter)),
    Effect.forever,
    Effect.forkIn(scope)
  )

  return { dueOf, keepTrying, offerAll }
})
