/**
 * Keeps issued tokens, whatever it takes.
 *
 * The commit is a compare-and-set that rebases onto whatever happened to the row meanwhile: a status change is merged, of two tokens of
 * one grant the one of the later lease wins, and a new grant wins over the one it replaced. While the store does not take it, the sealed
 * answer is in escrow, and the commit is tried again.
 *
 * @module
 */
import type { ConnectedAccountId } from "@rekindle/core"
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  type Scope
} from "effect"
import { type Account, credentialContext, transition, type Withdrawal } from "../account/Account.ts"
import { AccountStore, type StoreError } from "../account/AccountStore.ts"
import type { AuthConfig } from "../account/AuthConfig.ts"
import { AuthConfigs } from "../strategies/AuthConfigs.ts"
import { AuthStrategies, type AuthStrategy, type Connection } from "../strategies/AuthStrategy.ts"
import * as Credential from "../account/Credential.ts"
import { CredentialVault, type VaultError } from "../vault/CredentialVault.ts"
import { compare } from "../answer/Identity.ts"
import { begun, makeDiscard, makeWithdraw } from "./withdrawal.ts"
import { Escrow, type EscrowEntry } from "./Escrow.ts"
import { makeTimeLimit } from "../egress/timeLimit.ts"
import type { IssuedTokens } from "../answer/TokenResponse.ts"
import * as Tokens from "../answer/Tokens.ts"
import { decide, type Observation, type Verdict } from "../answer/Verdict.ts"

/** Tokens as issued, and everything needed to keep them. */
export interface Issued {
  /** The row as it was when the request was sent. */
  readonly account: Account
  readonly config: AuthConfig
  /** The credential that the tokens are merged into. */
  readonly held: Credential.Credential
  readonly tokens: IssuedTokens
  readonly answer: Extract<Observation, { readonly _tag: "Answer" }>
  readonly event: "Renewed" | "ConsentCompleted"
  /** The grant that the tokens belong to: the account's own for a renewal, a new one after consent. */
  readonly grantId: string
  readonly extras?: Credential.Extras | undefined
  /** Whether the tokens may be of another person or workspace than the account is. */
  readonly allowAnotherIdentity?: boolean | undefined
}

/**
 * What a commit led to: the account as committed, or the newer one that was there first, or the account as it was, because the tokens are
 * another person's. Tokens of another person are withdrawn.
 */
export type Committed = { readonly _tag: "Committed" | "Overtaken" | "Refused"; readonly account: Account }

/** What became of the entries of the escrow. Those that were overtaken are dropped and not counted. */
export interface Settlement {
  readonly committed: number
  /** The store does not take them yet: what they replace is spent or void, and must not be sent. */
  readonly waiting: number
  /** They cannot be opened or read with the keys and auth configs at hand. They are kept. */
  readonly unreadable: number
}

/** The answer is safe, in escrow or in this process, and not yet in the store. */
export class CommitPending extends Schema.TaggedError<CommitPending>("@rekindle/engine/CommitPending")(
  "CommitPending",
  {
    message: Schema.String
  }
) {}

/** How patient it is. */
export interface TokenCommitOptions {
  /** After how long a commit counts as slow and its answer goes to escrow as well. Default 1 second. */
  readonly slow?: Duration.Input | undefined
  /** For how long the commit is tried before only the escrow has it. Default 45 seconds, below the lease. */
  readonly giveUp?: Duration.Input | undefined
}

/** Commits issued tokens. */
export class TokenCommit extends Context.Service<
  TokenCommit,
  {
    readonly keep: (issued: Issued) => Effect.Effect<Committed, CommitPending>
    /** The same for what a consent is about to replace: a credential that no key opens counts as none. */
    readonly openedOrEmpty: (account: Account) => Effect.Effect<Credential.Credential>
    /** Opens the credential of an account; an account without one has the empty credential. */
    readonly open: (account: Account) => Effect.Effect<Credential.Credential, VaultError>
    /** Withdraws a revoked account's credential at its provider, and erases it once that is done. Tries once, and says how far it is. */
    readonly withdraw: (account: Account) => Effect.Effect<Withdrawal, StoreError>
    /** Commits what waits in escrow for one account, or all that waits. An account with nothing in escrow costs nothing. */
    readonly settle: (id?: ConnectedAccountId) => Effect.Effect<Settlement>
  }
>()("@rekindle/engine/TokenCommit") {
  static readonly layer = (
    options: TokenCommitOptions = {}
  ): Layer.Layer<TokenCommit, never, AccountStore | AuthConfigs | AuthStrategies | CredentialVault | Escrow> =>
    Layer.effect(TokenCommit, make(options))
}

/** The strategy's own reading; the decision table's where it has none, or breaks: an answer may hold tokens. */
const read = (own: () => Verdict | undefined, byTable: () => Verdict): Verdict => {
  try {
    return own() ?? byTable()
  } catch {
    return byTable()
  }
}

/** The verdict on a renewal's answer: the strategy's own reading if it has one. */
export const decideRenewal = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict =>
  read(
    () => strategy.renewal?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile, connection.credential.secrets)
  )

/** The verdict on the answer to a consent's code: nothing was held, so whatever came is new. */
export const decideConsent = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict =>
  read(
    () => strategy.consent?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile)
  )

/** What tells which of two answers is newer. */
type Origin = Pick<EscrowEntry, "epoch" | "event" | "grantId" | "heldGrantId" | "receivedAt">

/** Whether what is stored now is newer than the answer, or is the answer itself. */
const overtaken = (current: Account, { epoch, event, grantId, heldGrantId, receivedAt }: Origin): boolean =>
  event === "Renewed"
    ? // Answers come in while their lease holds, so that leases order them.
      current.grantId !== grantId || (current.obtainedEpoch ?? 0) >= epoch
    : current.grantId === grantId || (current.grantId !== heldGrantId && current.obtainedAt >= receivedAt)

/** What an escrow entry seals: enough to judge the answer again from the beginning. */
const EscrowedAnswer = Schema.fromJsonString(
  Schema.Struct({
    status: Schema.Int,
    contentType: Schema.optionalKey(Schema.String),
    body: Schema.String,
    secrets: Schema.Record(Schema.String, Schema.String),
    attributes: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    allowAnotherIdentity: Schema.optionalKey(Schema.Boolean)
  })
)

/** Where an escrow entry is sealed. */
const journalContext = ({ id, projectId }: Account) => ({ purpose: "journal", projectId, owner: id }) as const

/**
 * How often an answer that only the escrow has is tried again. Once the store is back, another process that finds the intent open gives its
 * owner two seconds before it sends the token again, so it has to be well below that.
 */
const tryAgainAfter = Duration.millis(500)

const make = Effect.fnUntraced(function* (options: TokenCommitOptions) {
  const scope: Scope.Scope = yield* Effect.scope
  const store = yield* AccountStore
  const configs = yield* AuthConfigs
  const strategies = yield* AuthStrategies
  const vault = yield* CredentialVault
  const escrow = yield* Escrow
  const slow = Duration.fromInputUnsafe(options.slow ?? "1 second")
  const giveUp = Duration.fromInputUnsafe(options.giveUp ?? "45 seconds")
  const limited = makeTimeLimit()

  const open = (account: Account) =>
    account.credential === null
      ? Effect.succeed(Credential.empty)
      : Effect.flatMap(vault.open(credentialContext(account), account.credential), (text) =>
          Effect.orDie(Schema.decodeEffect(Credential.CredentialJson)(text))
        )

  const withdraw = makeWithdraw({ store, configs, strategies, open })
  const discard = makeDiscard(strategies)

  /** What is there before a consent. What no key opens is replaced like nothing. */
  const openedOrEmpty = (account: Account) => Effect.orElseSucceed(open(account), () => Credential.empty)

  const warned = new Set<string>()
  /** Once for each auth config: the profile is what has to change. */
  const warnOfAssumedLife = ({ id, projectId }: AuthConfig) =>
    Effect.suspend(() => {
      const key = `${projectId}/${id}`
      if (warned.has(key)) return Effect.void
      warned.add(key)
      return Effect.logWarning(
        'nobody says how long the access tokens live: an hour is assumed; set accessTokenTtl in the profile, to "never" if they have no end',
        { projectId, authConfigId: id }
      )
    })

  const commit = Effect.fnUntraced(function* (
    {
      account,
      allowAnotherIdentity = false,
      config,
      extras,
      held,
      tokens
    }: Pick<Issued, "account" | "allowAnotherIdentity" | "config" | "extras" | "held" | "tokens">,
    origin: Origin
  ): Effect.fn.Return<Committed, StoreError> {
    const { event, receivedAt } = origin
    const given = Tokens.merge(Credential.empty, tokens, extras)
    const isAnothers = (held: Credential.Credential) =>
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
    if (isAnothers(held)) return yield* refused(account)
    let sealed = yield* sealFor(account, held)
    const life = Tokens.lifeOf(tokens, config.profile, event === "Renewed" ? held : Credential.empty)
    if (life.assumed) yield* warnOfAssumedLife(config)
    const expiresAt = life.millis === null ? null : receivedAt + life.millis
    const renewAt = yield* Tokens.renewalTime(config.profile, receivedAt, expiresAt)
    let from = account
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
        ...(next.status === "REVOKED" ? begun(now) : {})
      }
      if (yield* store.write({ from, to, announce: next.announce })) {
        // Revoked while the answer was on its way: what came is withdrawn as what was there has been.
        const account: Account = { ...to, revision: from.revision + 1, lease: null, intent: null }
        if (to.status === "REVOKED") yield* Effect.forkIn(Effect.ignore(withdraw(account)), scope)
        return { _tag: "Committed", account }
      }
      const current = yield* store.find(account.id)
      // Accounts are never deleted; one that cannot be read back has nothing to keep tokens for.
      if (Option.isNone(current)) return { _tag: "Overtaken", account }
      const moved = current.value.generation !== from.generation
      const holds = moved ? yield* Effect.orElseSucceed(open(current.value), () => held) : held
      if (moved && isAnothers(holds)) return yield* refused(current.value)
      if (overtaken(current.value, origin)) return { _tag: "Overtaken", account: current.value }
      // What the answer does not mention comes from the credential it replaces, which is another one now.
      if (moved) sealed = yield* sealFor(current.value, holds)
      from = current.value
    }
  })

  const originOf = ({ account, answer, event, grantId }: Issued): Origin => ({
    event,
    grantId,
    heldGrantId: account.grantId,
    epoch: account.epoch,
    receivedAt: answer.receivedAt
  })

  const escrowed = Effect.fnUntraced(function* (issued: Issued, origin: Origin) {
    const { account, allowAnotherIdentity = false, answer, extras = {} } = issued
    const text = yield* Effect.orDie(
      Schema.encodeEffect(EscrowedAnswer)({
        status: answer.status,
        ...(answer.contentType === undefined ? {} : { contentType: answer.contentType }),
        body: answer.body,
        secrets: extras.secrets ?? {},
        ...(extras.attributes === undefined ? {} : { attributes: extras.attributes }),
        allowAnotherIdentity
      })
    )
    const entry: EscrowEntry = {
      ...origin,
      accountId: account.id,
      sealed: yield* vault.seal(journalContext(account), text)
    }
    return entry
  })

  const keep = Effect.fnUntraced(function* (issued: Issued) {
    const origin = originOf(issued)
    const attempt = commit(issued, origin)
    // Not interrupted when it is slow: a database that hangs can take its time over that too, and the answer is not on disk yet.
    const running = yield* Effect.forkIn(attempt, scope)
    const quick = yield* limited(Fiber.await(running), slow, () => Effect.undefined)
    if (quick !== undefined && Exit.isSuccess(quick)) return quick.value

    const entry = yield* escrowed(issued, origin)
    yield* escrow.put(entry).pipe(
      Effect.catchTag("EscrowError", ({ message }) =>
        Effect.logError("an answer could not be escrowed; this process holds it until the store takes it", {
          message
        })
      )
    )
    const late = yield* Fiber.join(running).pipe(
      Effect.catch(() => Effect.retry(attempt, Schedule.spaced("250 millis"))),
      Effect.timeoutOption(giveUp),
      Effect.orDie
    )
    if (Option.isNone(late)) {
      yield* Effect.forkIn(keepTrying(entry), scope)
      return yield* new CommitPending({ message: "the new credential is safe in escrow and not yet committed" })
    }
    yield* Effect.ignore(escrow.remove(entry))
    return late.value
  }, Effect.uninterruptible)

  const settleEntry = Effect.fnUntraced(function* (entry: EscrowEntry) {
    const account = Option.getOrUndefined(yield* store.find(entry.accountId))
    let committed = false
    if (account !== undefined && !overtaken(account, entry)) {
      const strategy = strategies.get(account.scheme)
      if (strategy === undefined) return yield* new CommitPending({ message: `no strategy for ${account.scheme}` })
      const config = yield* configs.load(account)
      const { allowAnotherIdentity, attributes, contentType, secrets, ...answer } = yield* Effect.flatMap(
        vault.open(journalContext(account), entry.sealed),
        Schema.decodeEffect(EscrowedAnswer)
      )
      const observation = {
        _tag: "Answer" as const,
        ...answer,
        contentType,
        retryAfter: undefined,
        receivedAt: entry.receivedAt
      }
      const held = yield* entry.event === "Renewed" ? open(account) : openedOrEmpty(account)
      const connection: Connection = {
        accountId: account.id,
        config,
        credential: entry.event === "Renewed" ? held : Credential.empty
      }
      const verdict =
        entry.event === "Renewed"
          ? decideRenewal(strategy, connection, observation)
          : decideConsent(strategy, connection, observation)
      if (!("tokens" in verdict)) return yield* new CommitPending({ message: "its tokens cannot be read any more" })
      const { _tag } = yield* commit(
        { account, allowAnotherIdentity, config, held, tokens: verdict.tokens, extras: { secrets, attributes } },
        entry
      )
      committed = _tag === "Committed"
      yield* Effect.logInfo("settled an answer from escrow", { accountId: account.id, committed })
    }
    yield* escrow.remove(entry)
    return committed ? "committed" : "dropped"
  })

  const isStoreTrouble = ({ _tag }: { readonly _tag: string }) => _tag === "StoreError" || _tag === "TimeoutError"

  const settleInTime = (entry: EscrowEntry) => Effect.timeout(settleEntry(entry), "5 seconds")

  const keepTrying = (entry: EscrowEntry) =>
    settleInTime(entry).pipe(
      Effect.retry({ while: isStoreTrouble, schedule: Schedule.spaced(tryAgainAfter) }),
      Effect.ignoreCause
    )

  // What an earlier process left. Another one may be about to take its token for lost.
  yield* Effect.forEach(yield* escrow.all, (entry) => Effect.forkIn(keepTrying(entry), scope), { discard: true })

  return TokenCommit.of({
    keep,
    openedOrEmpty,
    open,
    withdraw,
    settle: Effect.fnUntraced(function* (id?: ConnectedAccountId) {
      const entries = yield* id === undefined ? escrow.all : escrow.entriesOf(id)
      const ends = yield* Effect.forEach(entries, (entry) =>
        settleInTime(entry).pipe(
          Effect.catchCause((cause) => {
            const error = Option.getOrUndefined(Cause.findErrorOption(cause))
            return Effect.as(
              // Its name only: what does not decode is an opened answer.
              Effect.logWarning("an escrowed answer cannot be committed yet", {
                accountId: entry.accountId,
                error: error?._tag ?? "defect"
              }),
              error !== undefined && isStoreTrouble(error) ? "waiting" : "unreadable"
            )
          })
        )
      )
      const count = (end: (typeof ends)[number]) => ends.filter((each) => each === end).length
      return { committed: count("committed"), waiting: count("waiting"), unreadable: count("unreadable") }
    })
  })
})
