/**
 * Makes sure that issued tokens are kept. Space in the journal is reserved before the request. The answer is written to the journal before
 * it is judged. Then the commit is repeated until the store accepts it.
 *
 * Answers that are left in the journal, by this process or by one that died, are offered to the same commit: in the background, and before
 * their account is renewed.
 *
 * @module
 */
import type { AuthConfig, ConnectedAccountId } from "@rekindle/core"
import { Context, Duration, Effect, Exit, Fiber, Latch, Layer, Schedule, Schema, type Scope } from "effect"
import { type Account, credentialContext, type Withdrawal } from "../account/Account.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import * as Credential from "../account/Credential.ts"
import type { IssuedTokens } from "../answer/TokenResponse.ts"
import type { Observation } from "../answer/Verdict.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies } from "../strategies/AuthStrategy.ts"
import { CredentialVault, type VaultError } from "../vault/CredentialVault.ts"
import { type Committed, makeCommit, type Origin } from "./commit.ts"
import { Journal, type JournalEntry, type JournalError } from "./Journal.ts"
import { makeJournalRecords } from "./journalRecord.ts"
import { makeReplay, type ReplayEnd, type Settlement } from "./journalReplay.ts"
import { makeDiscard, makeWithdraw } from "./withdrawal.ts"

export type { Committed } from "./commit.ts"
export type { Settlement } from "./journalReplay.ts"

/** An answer as it was read, and everything that is needed to judge and commit it. */
export interface Arrived {
  /** The account when the request was sent. */
  readonly account: Account
  readonly answer: Extract<Observation, { readonly _tag: "Answer" }>
  readonly event: "Renewed" | "ConsentCompleted"
  /** The grant id of its tokens: the account's own for a renewal, and a new one after consent. */
  readonly grantId: string
  readonly extras?: Credential.Extras | undefined
  /** Whether the tokens may belong to another person or workspace than the account does. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** An answer that is in the journal. */
export interface Recorded extends Arrived {
  readonly entry: JournalEntry
}

/** Issued tokens, and everything that is needed to commit them. */
export interface Issued {
  readonly recorded: Recorded
  readonly config: AuthConfig
  /** The credential that the tokens are merged into. */
  readonly held: Credential.Credential
  readonly tokens: IssuedTokens
}

/** The answer was kept, but is not committed yet. The message states where it is. */
export class CommitPending extends Schema.TaggedError<CommitPending>("@rekindle/engine/CommitPending")(
  "CommitPending",
  {
    message: Schema.String
  }
) {}

/** The options of commits. */
export interface TokenCommitOptions {
  /** How long a caller waits for the commit, which continues afterwards. Default 45 seconds, which is less than the lease. */
  readonly giveUp?: Duration.Input | undefined
}

/** Commits issued tokens. */
export class TokenCommit extends Context.Service<
  TokenCommit,
  {
    /** Reserves space in the journal for the answer to one request, while the scope is open. Fails if there is none. */
    readonly room: Effect.Effect<void, JournalError, Scope.Scope>
    /** Writes an answer to the journal. The next step is to judge it, and then to call `keep` or `discard`. */
    readonly record: (arrived: Arrived) => Effect.Effect<Recorded>
    readonly keep: (issued: Issued) => Effect.Effect<Committed, CommitPending>
    /** Removes an answer without tokens from the journal. */
    readonly discard: (recorded: Recorded) => Effect.Effect<void>
    /** Opens the credential of an account. An account that has none gets the empty credential. */
    readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
    /** Like `open`, for a credential that a consent will replace. If no key opens it, it is treated as empty. */
    readonly openedOrEmpty: (account: Account) => Effect.Effect<Credential.Credential>
    /**
     * Withdraws the credential of a revoked account at its provider, and erases it when that is confirmed. Tries once, and returns the
     * state.
     */
    readonly withdraw: (account: Account) => Effect.Effect<Withdrawal, StoreError>
    /** Commits the answers in the journal, of one account or of all. Without such answers it is cheap. */
    readonly settle: (id?: ConnectedAccountId) => Effect.Effect<Settlement>
  }
>()("@rekindle/engine/TokenCommit") {
  static readonly layer = (
    options: TokenCommitOptions = {}
  ): Layer.Layer<TokenCommit, never, AccountStore | AuthConfigs | AuthStrategies | CredentialVault | Journal> =>
    Layer.effect(TokenCommit, make(options))
}

const originOf = ({ account, answer, event, grantId }: Arrived): Origin => ({
  event,
  grantId,
  heldGrantId: account.grantId,
  epoch: account.epoch,
  receivedAt: answer.receivedAt
})

const make = Effect.fnUntraced(function* (options: TokenCommitOptions) {
  const scope: Scope.Scope = yield* Effect.scope
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const strategies = yield* AuthStrategies
  const vault = yield* CredentialVault
  const journal = yield* Journal
  const giveUp = Duration.fromInputUnsafe(options.giveUp ?? "45 seconds")
  const limited = makeTimeLimit()

  const open = (account: Account) =>
    account.credential === null
      ? Effect.succeed(Credential.empty)
      : Effect.flatMap(vault.open(credentialContext(account), account.credential), (text) =>
          Effect.orDie(Schema.decodeEffect(Credential.CredentialJson)(text))
        )

  const openedOrEmpty = (account: Account) => Effect.orElseSucceed(open(account), () => Credential.empty)

  const withdraw = makeWithdraw({ store, configs, strategies, open })
  const commit = makeCommit({ discard: makeDiscard(strategies), open, scope, store, vault, withdraw })

  /**
   * The answers that are being judged or committed. They are not offered by anything else. A caller that needs their result waits for the
   * latch.
   */
  const processing = new Map<JournalEntry, Latch.Latch>()
  const startProcessing = (entry: JournalEntry): void => void processing.set(entry, Latch.makeUnsafe())
  const endProcessing = (entry: JournalEntry): void => {
    const ended = processing.get(entry)
    // Whoever waits goes on within the call that opens the latch, and then the answer has to count as one that waits for the store.
    processing.delete(entry)
    ended?.openUnsafe()
  }

  const records = makeJournalRecords(vault)
  const { dueOf, keepTrying, offerAll } = yield* makeReplay({
    commit,
    configs,
    isProcessing: (entry) => processing.has(entry),
    journal,
    open,
    openedOrEmpty,
    openRecord: records.open,
    scope,
    store,
    strategies
  })

  const record = Effect.fnUntraced(function* (arrived: Arrived) {
    const { account, allowAnotherIdentity = false, answer, extras } = arrived
    const sealed = yield* records.seal(account, {
      ...originOf(arrived),
      status: answer.status,
      ...(answer.contentType === undefined ? {} : { contentType: answer.contentType }),
      body: answer.body,
      secrets: extras?.secrets ?? {},
      ...(extras?.attributes === undefined ? {} : { attributes: extras.attributes }),
      allowAnotherIdentity
    })
    const entry = yield* journal.append({ accountId: account.id, sealed })
    startProcessing(entry)
    return { ...arrived, entry }
  }, Effect.uninterruptible)

  const removeEntry = (entry: JournalEntry) =>
    Effect.suspend(() => {
      endProcessing(entry)
      return journal.settle(entry)
    })

  const keep = Effect.fnUntraced(function* ({ config, held, recorded, tokens }: Issued) {
    const { account, allowAnotherIdentity, entry, extras } = recorded
    const attempt = commit({ account, allowAnotherIdentity, config, held, tokens, extras, origin: originOf(recorded) })
    // The commit is not interrupted before the limit, because a database that hangs may also take long to interrupt.
    const running = yield* Effect.forkIn(Effect.retry(attempt, Schedule.spaced("250 millis")), scope)
    const end = yield* limited(Fiber.await(running), giveUp, () => Effect.undefined)
    if (end !== undefined && Exit.isSuccess(end)) {
      yield* removeEntry(entry)
      return end.value
    }
    yield* Effect.forkIn(Fiber.interrupt(running), scope)
    endProcessing(entry)
    yield* keepTrying
    return yield* new CommitPending({
      message: (yield* journal.isOnDisk(entry))
        ? "the new credential is safe in the journal and not yet committed"
        : "the new credential is not yet committed, and is only in the memory of this process"
    })
  }, Effect.uninterruptible)

  const takeOver = Effect.flatMap(journal.takeOver, (found) => (found.length === 0 ? Effect.void : keepTrying))

  // Answers of earlier processes are offered at the start, because another process may be about to treat their tokens as lost.
  yield* takeOver
  if ((yield* journal.all).length > 0) yield* keepTrying

  return TokenCommit.of({
    room: journal.room,
    record,
    keep,
    discard: ({ entry }) => removeEntry(entry),
    open,
    openedOrEmpty,
    withdraw,
    settle: Effect.fnUntraced(function* (id?: ConnectedAccountId) {
      yield* takeOver
      // Until the answer is committed, the stored token is a spent one. The commit may take longer than the lease.
      if (id !== undefined)
        yield* Effect.forEach(yield* journal.entriesOf(id), (entry) => processing.get(entry)?.await ?? Effect.void)
      const entries = yield* id === undefined ? journal.all : journal.entriesOf(id)
      const due = id === undefined ? yield* dueOf(entries) : entries
      const ends = due.length === 0 ? [] : yield* offerAll(due)
      const count = (end: ReplayEnd) => ends.filter((each) => each === end).length
      const unreadable = count("unreadable") + entries.length - due.length
      return { committed: count("committed"), waiting: count("waiting"), unreadable }
    })
  })
})
