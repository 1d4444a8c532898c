/**
 * Offers what is left in the journal to the commit: answers that the store did not take yet, and those of a process that is gone.
 *
 * @module
 */
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

/** What became of the answers in the journal. Those that were overtaken, or hold no tokens, are dropped and not counted. */
export interface Settlement {
  readonly committed: number
  /** The store does not take them yet: what they replace is spent or void, and must not be sent. */
  readonly waiting: number
  /** They cannot be opened or read with the keys and auth configs at hand. They are kept. */
  readonly unreadable: number
}

/**
 * How often an answer that only the journal has is offered again. Once the store is back, another process that finds the intent open gives
 * its owner two seconds before it sends the token again, so it has to be well below that.
 */
const tryAgainAfter = Duration.millis(500)

/** How many answers are offered at the same time. */
const offersAtOnce = 8

/** How many answers are offered before others get their turn. */
const offersInSlice = 32

/** How an offer ended. */
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
  /** Whether an answer is being judged or committed right now. Nobody else has to offer it. */
  readonly isInHand: (entry: JournalEntry) => boolean
  readonly scope: Scope.Scope
}

/** Makes `offerAll`, and `keepTrying`, which offers everything again in the background until the store has taken it. */
export const makeReplay = Effect.fnUntraced(function* ({
  commit,
  configs,
  isInHand,
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
    // An answer that refuses was written down like any other; its verdict is passed again by whoever asks again.
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

  const reported = new WeakSet<JournalEntry>()
  const report = (entry: JournalEntry, error: string) =>
    Effect.suspend(() => {
      if (reported.has(entry)) return Effect.void
      reported.add(entry)
      // Its name only: what does not decode is an opened answer.
      return Effect.logWarning("an answer in the journal cannot be committed; it is kept", {
        accountId: entry.accountId,
        error
      })
    })

  /** Offers one record to the commit, and lets go of it unless it has to wait. */
  const offer = Effect.fnUntraced(function* (entry: JournalEntry) {
    const account = yield* store.find(entry.accountId)
    if (Option.isNone(account)) {
      // The database may be the wrong one: only for an account that is known to be removed is an answer thrown away.
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
        isInHand(entry)
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

  /** In slices, so that thousands of answers block nobody. */
  const offerAll = Effect.fnUntraced(function* (entries: ReadonlyArray<JournalEntry>) {
    const ends: Array<ReplayEnd> = []
    for (let from = 0; from < entries.length; from += offersInSlice) {
      ends.push(...(yield* offerSlice(entries.slice(from, from + offersInSlice))))
      yield* Effect.yieldNow
    }
    return ends
  })

  /** Open while the journal may hold an answer that nobody has in hand: one that was not offered yet, or that the store did not take. */
  const left = Latch.makeUnsafe()
  const keepTrying = Effect.asVoid(left.open)
  yield* left.await.pipe(
    Effect.andThen(left.close),
    // What cannot be read now is offered again by `settle`.
    Effect.andThen(Effect.flatMap(journal.all, (entries) => offerAll(entries.filter((entry) => !reported.has(entry))))),
    Effect.andThen((ends) => (ends.includes("waiting") ? left.open : Effect.void)),
    Effect.andThen(Effect.sleep(tryAgainAfter)),
    Effect.forever,
    Effect.forkIn(scope)
  )

  return { keepTrying, offerAll }
})
