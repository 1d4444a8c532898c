/**
 * Keeps issued tokens, whatever it takes: room in the journal before the request, the answer in the journal before it is judged, and then
 * the commit, tried until the store takes it.
 *
 * What is left in the journal, by this process or by one that is gone, is offered to the same commit: in the background, and before the
 * account is renewed.
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

/** An answer as it was read, and what is needed to judge and commit it. */
export interface Arrived {
  /** The row as it was when the request was sent. */
  readonly account: Account
  readonly answer: Extract<Observation, { readonly _tag: "Answer" }>
  readonly event: "Renewed" | "ConsentCompleted"
  /** The grant that its tokens belong to: the account's own for a renewal, a new one after consent. */
  readonly grantId: string
  readonly extras?: Credential.Extras | undefined
  /** Whether the tokens may be of another person or workspace than the account is. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/** An answer that is in the journal. */
export interface Recorded extends Arrived {
  readonly entry: JournalEntry
}

/** Tokens as issued, and everything needed to keep them. */
export interface Issued {
  readonly recorded: Recorded
  readonly config: AuthConfig
  /** The credential that the tokens are merged into. */
  readonly held: Credential.Credential
  readonly tokens: IssuedTokens
}

/** The answer was kept, and is not yet in the store. The message says where it is. */
export class CommitPending extends Schema.TaggedError<CommitPending>("@rekindle/engine/CommitPending")(
  "CommitPending",
  {
    message: Schema.String
  }
) {}

/** How long the caller of a commit waits. */
export interface TokenCommitOptions {
  /** How long a caller waits for the commit, which goes on afterwards. Default 45 seconds, below the lease. */
  readonly giveUp?: Duration.Input | undefined
}

/** Commits issued tokens. */
export class TokenCommit extends Context.Service<
  TokenCommit,
  {
    /** Holds room in the journal for the answer to one request as long as the scope is open. Fails if there is none. */
    readonly room: Effect.Effect<void, JournalError, Scope.Scope>
    /** Puts an answer into the journal. The next step is to judge it, and then `keep` or `discard`. */
    readonly record: (arrived: Arrived) => Effect.Effect<Recorded>
    readonly keep: (issued: Issued) => Effect.Effect<Committed, CommitPending>
    /** Lets go of an answer without tokens. */
    readonly discard: (recorded: Recorded) => Effect.Effect<void>
    /** Opens the credential of an account; an account without one has the empty credential. */
    readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
    /** The same for what a consent is about to replace: a credential that no key opens counts as none. */
    readonly openedOrEmpty: (account: Account) => Effect.Effect<Credential.Credential>
    /** Withdraws a revoked account's credential at its provider, and erases it once that is done. Tries once, and says how far it is. */
    readonly withdraw: (account: Account) => Effect.Effect<Withdrawal, StoreError>
    /** Commits what is left in the journal for one account, or all that is left. An account with nothing in it costs nothing. */
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

  /** Answers that are being judged or committed right now. Nobody else has to offer them; who needs their end waits for it. */
  const inHand = new Map<JournalEntry, Latch.Latch>()
  const takeInHand = (entry: JournalEntry): void => void inHand.set(entry, Latch.makeUnsafe())
  const putDown = (entry: JournalEntry): void => {
    inHand.get(entry)?.openUnsafe()
    inHand.delete(entry)
  }

  const records = makeJournalRecords(vault)
  const { keepTrying, offerAll } = yield* makeReplay({
    commit,
    configs,
    isInHand: (entry) => inHand.has(entry),
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
    takeInHand(entry)
    return { ...arrived, entry }
  }, Effect.uninterruptible)

  const letGo = (entry: JournalEntry) =>
    Effect.suspend(() => {
      putDown(entry)
      return journal.settle(entry)
    })

  const keep = Effect.fnUntraced(function* ({ config, held, recorded, tokens }: Issued) {
    const { account, allowAnotherIdentity, entry, extras } = recorded
    const attempt = commit({ account, allowAnotherIdentity, config, held, tokens, extras, origin: originOf(recorded) })
    // Not interrupted when it is slow: a database that hangs can take its time over that too.
    const running = yield* Effect.forkIn(Effect.retry(attempt, Schedule.spaced("250 millis")), scope)
    const end = yield* limited(Fiber.await(running), giveUp, () => Effect.undefined)
    if (end !== undefined && Exit.isSuccess(end)) {
      yield* letGo(entry)
      return end.value
    }
    yield* Effect.forkIn(Fiber.interrupt(running), scope)
    putDown(entry)
    yield* keepTrying
    return yield* new CommitPending({
      message: (yield* journal.isOnDisk(entry))
        ? "the new credential is safe in the journal and not yet committed"
        : "the new credential is not yet committed, and this process alone holds it"
    })
  }, Effect.uninterruptible)

  const takeOver = Effect.flatMap(journal.takeOver, (found) => (found.length === 0 ? Effect.void : keepTrying))

  // What earlier processes left. Another one may be about to take its token for lost.
  yield* takeOver
  if ((yield* journal.all).length > 0) yield* keepTrying

  return TokenCommit.of({
    room: journal.room,
    record,
    keep,
    discard: ({ entry }) => letGo(entry),
    open,
    openedOrEmpty,
    withdraw,
    settle: Effect.fnUntraced(function* (id?: ConnectedAccountId) {
      yield* takeOver
      // What stands in the store is a spent token until the answer in hand is committed, which may take longer than its lease.
      if (id !== undefined)
        yield* Effect.forEach(yield* journal.entriesOf(id), (entry) => inHand.get(entry)?.await ?? Effect.void)
      const entries = yield* id === undefined ? journal.all : journal.entriesOf(id)
      const ends = entries.length === 0 ? [] : yield* offerAll(entries)
      const count = (end: ReplayEnd) => ends.filter((each) => each === end).length
      return { committed: count("committed"), waiting: count("waiting"), unreadable: count("unreadable") }
    })
  })
})
