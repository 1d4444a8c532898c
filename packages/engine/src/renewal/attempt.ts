/**
 * One attempt under a lease: write the intent, send, judge, and keep or give back. From the lease to the commit nothing interrupts it.
 *
 * @module
 */
import type { ConnectedAccountId, RefreshError } from "@rekindle/core"
import { Clock, Context, Deferred, Duration, Effect, Exit, Option, Random, Scope } from "effect"
import {
  type Account,
  type AttemptResult,
  inService,
  isExpiring,
  isKnownDead,
  isOver,
  isUsable
} from "../account/Account.ts"
import { decideRenewal, prolongs } from "./judge.ts"
import type { JournalError } from "./Journal.ts"
import type { Issued } from "./TokenCommit.ts"
import { noAnswer, type Observation, type Verdict } from "../answer/Verdict.ts"
import { Passage } from "../egress/Passage.ts"
import { monotonicMillisUnsafe } from "../egress/timeLimit.ts"
import type { Overdue } from "./lateAnswers.ts"
import { nextStep } from "./nextStep.ts"
import type { Evidence } from "./Circuits.ts"
import { mayPass, pauses } from "./pauses.ts"
import { observed, tokenRequest } from "./observe.ts"
import type { Parts } from "./parts.ts"
import { mayResend, type Ready } from "./prepare.ts"
import { failed, type Renewal, storeDown, told, unavailable } from "./renewal.ts"

/** The points of a renewal at which a crash differs in what it leaves behind. */
export type Checkpoint = "before-lease" | "after-intent" | "after-response" | "after-commit"

/** Called at each checkpoint. For crash tests; does nothing unless replaced. */
export const AtCheckpoint = Context.Reference<(point: Checkpoint, id: ConnectedAccountId) => Effect.Effect<void>>(
  "@rekindle/engine/AtCheckpoint",
  { defaultValue: () => () => Effect.void }
)

/** What is known of a flight while it is under way. */
export interface Progress {
  /** Set while a request may have left of which nobody knows what became: then nobody may say "nothing was done". */
  sent: boolean
  /** Whether a caller says that a third party refused the access token. */
  readonly tokenRefused: boolean
}

/** What an attempt came to: what it tells of the provider, and the renewal for those who wait. */
export interface Attempted {
  readonly evidence: Evidence
  readonly renewal: Effect.Effect<Renewal, RefreshError>
}

/** What an observation means, and the tokens to keep if it brought any. */
interface Judged {
  readonly verdict: Verdict
  readonly issued: Pick<Issued, "recorded" | "tokens"> | undefined
}

/** What became of sending. */
type Sent =
  | {
      readonly _tag: "Judged"
      readonly verdict: Verdict
      readonly issued: Judged["issued"]
      readonly evidence: Evidence
      /** Whether a request may have been carried out whose answer nobody has: one of this attempt, or of an earlier one. */
      readonly doubtful: boolean
    }
  /** The lease was over before the request left. */
  | { readonly _tag: "TooLate"; readonly verdict: Verdict; readonly doubtful: boolean }
  /** The answer to a request that counted as unanswered came, and its tokens are kept. */
  | { readonly _tag: "Late"; readonly attempted: Attempted }

/** A failure that may pass is reported when it has lasted for so long, in milliseconds. */
const worthALine = 60_000

/** Makes the attempt. Returns `undefined` if the lease was not acquired, or was over before a request left; re-read the account. */
export const makeAttempt = (parts: Parts) => {
  const { bounded, lateAnswers, lease, limited, markDead, owner, requestTimeout, store, tokens } = parts

  /** Gives the lease back and leaves word. Not being able to is no reason to fail: the lease runs out by itself. */
  const release = Effect.fnUntraced(function* (
    leased: Account,
    verdict: Verdict,
    keep: { readonly intent: boolean; readonly lease: boolean }
  ) {
    const now = Math.round(yield* Clock.currentTimeMillis)
    const since = leased.lastAttempt?.since ?? (leased.status === "EXPIRED" ? leased.updatedAt : now)
    const { callers, renewer } = yield* pauses(verdict, now - since)
    const reported = leased.lastAttempt?.reported ?? isKnownDead(leased)
    // What may pass is worth a line when it has not.
    const report = !reported && (!mayPass(verdict) || now - since >= worthALine)
    if (report) {
      yield* Effect.logWarning("an account stopped working: it cannot be renewed", {
        accountId: leased.id,
        authConfigId: leased.authConfigId,
        verdict: verdict._tag,
        code: codeOf(verdict)
      })
    }
    const result: AttemptResult = {
      epoch: leased.epoch,
      // What became of one request says nothing about an earlier one that is still in doubt.
      verdict: keep.intent ? "Ambiguous" : verdict._tag,
      code: codeOf(verdict),
      retryAt: callers === 0 ? null : now + callers,
      since,
      reported: reported || report
    }
    yield* bounded(
      store.release({
        id: leased.id,
        epoch: leased.epoch,
        keepIntent: keep.intent,
        keepLease: keep.lease,
        // The end of the access token of a dead credential is not missed.
        renewAt:
          leased.renewAt === null
            ? null
            : Math.min(now + renewer, (isExpiring(leased) ? leased.expiresAt : null) ?? Infinity),
        result
      })
    ).pipe(
      Effect.catch(({ message }) => Effect.logWarning("a lease could not be given back; it will run out", { message }))
    )
    return result
  })

  /**
   * Gives the lease back; the intent stays if the token may be spent. Others may not send a strict single-use token while its answer may
   * still come, so then the lease stays too until that is over.
   */
  const giveBack = Effect.fnUntraced(function* (
    ready: Ready,
    leased: Account,
    verdict: Verdict,
    intent: boolean,
    overdue: Overdue<Attempted>
  ) {
    const now = yield* Clock.currentTimeMillis
    const waits = intent && overdue.isOpen() && !mayResend({ ...ready, account: leased }, now, requestTimeout)
    if (waits) {
      yield* overdue.whenOver(
        Effect.suspend(() =>
          Deferred.isDoneUnsafe(overdue.kept)
            ? Effect.void
            : Effect.asVoid(release(leased, verdict, { intent, lease: false }))
        )
      )
    }
    return yield* release(leased, verdict, { intent, lease: waits })
  })

  /** An answer goes into the journal before it is judged: from then on nobody loses it. */
  const judge = Effect.fnUntraced(function* (
    { connection, strategy }: Ready,
    leased: Account,
    observation: Observation
  ): Effect.fn.Return<Judged> {
    if (observation._tag !== "Answer") {
      return { verdict: decideRenewal(strategy, connection, observation), issued: undefined }
    }
    const recorded = yield* tokens.record({
      account: leased,
      answer: observation,
      event: "Renewed",
      grantId: leased.grantId
    })
    const verdict = decideRenewal(strategy, connection, observation)
    if (verdict._tag === "Renewed" || (verdict._tag === "NotRenewed" && prolongs(verdict, observation, leased))) {
      return { verdict, issued: { recorded, tokens: verdict.tokens } }
    }
    yield* tokens.discard(recorded)
    return { verdict, issued: undefined }
  })

  /** Commits the tokens of an answer. */
  const keep = Effect.fnUntraced(function* (
    { connection }: Ready,
    leased: Account,
    { recorded, tokens: issued }: Pick<Issued, "recorded" | "tokens">
  ) {
    if (issued.irregularities.length > 0) {
      yield* Effect.logWarning("tokens kept from an irregular answer", {
        accountId: leased.id,
        irregularities: issued.irregularities
      })
    }
    const { account } = yield* tokens.keep({
      recorded,
      config: connection.config,
      held: connection.credential,
      tokens: issued
    })
    if (isKnownDead(leased) || leased.lastAttempt?.reported === true) {
      yield* Effect.logInfo("an account works again", { accountId: leased.id, authConfigId: leased.authConfigId })
    }
    return account
  })

  /** Commits what came late, if there are tokens in it. */
  const keepLate = (ready: Ready, leased: Account) =>
    Effect.fnUntraced(function* (observation: Observation) {
      const { issued, verdict } = yield* judge(ready, leased, observation)
      if (issued === undefined) return Option.none<Attempted>()
      yield* Effect.logInfo("an answer came after its time; its tokens are kept", { accountId: leased.id })
      const renewal = yield* keep(ready, leased, issued).pipe(
        Effect.match({
          onFailure: ({ message }) => Effect.fail(failed("commit_pending", message)),
          onSuccess: (account) => Effect.succeed<Renewal>({ _tag: "Renewed", account })
        })
      )
      return Option.some<Attempted>({ evidence: evidenceOf(verdict), renewal })
    })

  /** Sends, as often as is safe and useful, while the lease lets requests leave. */
  const send = Effect.fnUntraced(function* (
    ready: Ready,
    leased: Account,
    timeLeft: () => number,
    overdue: Overdue<Attempted>,
    rooms: Scope.Scope,
    progress: Progress
  ): Effect.fn.Return<Sent> {
    const { connection, renewal } = ready
    let doubtful = (leased.intent?.attempts ?? 1) > 1
    let tooLate = false
    let broke = false
    for (let sends = 1; ; sends++) {
      // A strategy whose time is over may still be about to send.
      let closed = false
      const refusal = () => {
        if (closed) return "time_over"
        // The token is spent, and what it brought is being committed.
        if (overdue.hasCome()) return "answered"
        tooLate = timeLeft() <= 0
        return tooLate ? "lease_over" : undefined
      }
      const request = Effect.suspend(() => {
        const reason = refusal()
        if (reason !== undefined) return Effect.succeed<Observation>({ _tag: "NotSent", reason })
        progress.sent = true
        return renewal.send(connection)
      }).pipe(
        Effect.provideService(Passage, { refusal, takeOver: overdue.takeOver }),
        Effect.catchDefect((defect) => {
          broke = true
          return Effect.as(
            // Its name only: what a strategy says about itself may hold a secret.
            Effect.logError("a strategy broke while renewing", {
              accountId: leased.id,
              defect: defect instanceof Error ? defect.name : typeof defect
            }),
            // It may have sent.
            noAnswer("strategy_failed")
          )
        })
      )
      const unanswered = () => Effect.succeed(noAnswer("timed_out"))
      const { issued, verdict } = yield* limited(request, requestTimeout, unanswered, overdue.takeOver).pipe(
        Effect.flatMap((observation) => {
          closed = true
          return Effect.map(judge(ready, leased, observation), (judged) => ({ observation, ...judged }))
        }),
        observed(
          {
            operation: "renewal",
            provider: connection.config.profile.name,
            accountId: leased.id,
            attempt: sends
          },
          tokenRequest
        )
      )
      if (verdict._tag === "Ambiguous") doubtful = true
      if (verdict._tag === "NotApplied" || verdict._tag === "Refused") progress.sent = doubtful
      if (verdict._tag !== "Renewed") {
        yield* overdue.settled
        if (Deferred.isDoneUnsafe(overdue.kept)) return { _tag: "Late", attempted: yield* Deferred.await(overdue.kept) }
      }
      if (verdict._tag === "NotApplied" && tooLate) return { _tag: "TooLate", verdict, doubtful }
      const now = yield* Clock.currentTimeMillis
      const step = nextStep({
        verdict: verdict._tag,
        sends,
        repeatable: mayResend({ ...ready, account: leased }, now, requestTimeout),
        usable: inService(leased) && !isOver(leased, now),
        answerMayCome: overdue.isOpen(),
        timeLeft: timeLeft(),
        requestTimeout: Duration.toMillis(requestTimeout),
        jitter: yield* Random.next
      })
      const judged: Sent = {
        _tag: "Judged",
        issued,
        verdict,
        doubtful,
        evidence: broke ? nothing : evidenceOf(verdict)
      }
      if (step._tag === "Stop") return judged
      // A late answer ends the pause.
      const pause = Duration.millis(step.pause)
      const attempted = yield* limited(Deferred.await(overdue.kept), pause, () => Effect.undefined)
      if (attempted !== undefined) return { _tag: "Late", attempted }
      // Each answer has room of its own: the one before has been written, or may still come.
      const hasRoom = verdict._tag !== "Ambiguous" || (yield* Effect.isSuccess(Scope.provide(tokens.room, rooms)))
      if (!hasRoom) return judged
    }
  })

  const attempt = Effect.fnUntraced(function* (
    ready: Ready,
    progress: Progress
  ): Effect.fn.Return<Attempted | undefined, RefreshError | JournalError, Scope.Scope> {
    const { account, strategy } = ready
    const { answers, rooms } = yield* roomForAnswers
    yield* Scope.provide(tokens.room, rooms)
    const checkpoint = yield* AtCheckpoint
    const clock = yield* Clock.Clock
    yield* checkpoint("before-lease", account.id)
    const begunAt = monotonicMillisUnsafe(clock)
    const begun = yield* bounded(
      store.begin({
        account,
        owner,
        leaseMillis: lease,
        now: clock.currentTimeMillisUnsafe(),
        takeOver: ready.waitedOut
      })
    ).pipe(Effect.mapError(storeDown))
    if (Option.isNone(begun)) return undefined
    const leased = begun.value
    yield* checkpoint("after-intent", account.id)
    /**
     * For how long requests may leave under this lease: in its first half, since a request takes less than half of it, and the rest is for
     * the commit. By two clocks: no step of the wall clock moves the monotonic one, and that one stands still while a machine sleeps.
     */
    const timeLeft = () =>
      Math.min(
        begunAt + lease - monotonicMillisUnsafe(clock),
        (leased.lease?.until ?? 0) - clock.currentTimeMillisUnsafe()
      ) -
      lease / 2
    const overdue = lateAnswers(begunAt + lease, keepLate(ready, leased))
    answers.overdue = overdue
    const sent = yield* send(ready, leased, timeLeft, overdue, rooms, progress)
    if (sent._tag === "TooLate") {
      yield* giveBack(ready, leased, sent.verdict, sent.doubtful, overdue)
      return undefined
    }
    if (sent._tag === "Late") return sent.attempted
    const { doubtful, evidence, issued, verdict } = sent
    yield* checkpoint("after-response", account.id)
    yield* Effect.logDebug("a renewal was tried", {
      accountId: account.id,
      verdict: verdict._tag,
      code: codeOf(verdict)
    })

    if (issued !== undefined) {
      const renewed = yield* keep(ready, leased, issued).pipe(
        Effect.mapError(({ message }) => failed("commit_pending", message))
      )
      yield* checkpoint("after-commit", account.id)
      return { evidence, renewal: Effect.succeed({ _tag: "Renewed", account: renewed }) }
    }
    switch (verdict._tag) {
      case "Dead": {
        // What is known already is not written again. The word that is left keeps callers from trying at once.
        const known =
          leased.status === "EXPIRED" ||
          (isExpiring(leased) && !progress.tokenRefused && isUsable(leased, yield* Clock.currentTimeMillis))
        if (known && strategy.consent === undefined) {
          yield* release(leased, verdict, { intent: false, lease: false })
          const account = { ...leased, lease: null, intent: null }
          return { evidence, renewal: Effect.succeed({ _tag: "Rejected", account }) }
        }
        const { tokenRefused } = progress
        const dead = yield* markDead(leased, strategy, { lost: doubtful, code: codeOf(verdict), tokenRefused })
        return { evidence, renewal: Effect.succeed(dead) }
      }
      default: {
        const result = yield* giveBack(ready, leased, verdict, doubtful && verdict._tag !== "NotRenewed", overdue)
        return { evidence, renewal: told(leased, result, yield* Clock.currentTimeMillis) }
      }
    }
  }, Effect.uninterruptible)

  return (ready: Ready, progress: Progress) =>
    Effect.catchTag(Effect.scoped(attempt(ready, progress)), "JournalError", () =>
      Effect.fail(unavailable("journal_unavailable", "the journal has no room for the answer; nothing was sent"))
    )
}

/** Where an attempt holds room in the journal: as long as it lasts, and then until no late answer can come any more. */
const roomForAnswers = Effect.gen(function* () {
  const rooms = yield* Scope.make()
  const answers: { overdue: Overdue<Attempted> | undefined } = { overdue: undefined }
  yield* Effect.addFinalizer(() => {
    const letGo = Scope.close(rooms, Exit.void)
    return answers.overdue?.whenOver(letGo) ?? letGo
  })
  return { rooms, answers }
})

/** What may be shown of why it was not renewed. */
const codeOf = (verdict: Verdict): string | null =>
  "code" in verdict ? verdict.code : "reason" in verdict ? verdict.reason : null

const nothing: Evidence = { _tag: "Nothing" }

/** What one attempt tells of the provider and the application, which all accounts of the config share. */
const evidenceOf = (verdict: Verdict): Evidence => {
  switch (verdict._tag) {
    case "Refused":
      // The fault is on this side.
      return nothing
    case "Transient":
      return { _tag: "Fault", cause: verdict.code, retryAfter: verdict.retryAfter }
    case "AppFault":
      return { _tag: "Fault", cause: verdict.code }
    case "NotApplied":
    case "Ambiguous":
      return { _tag: "Fault", cause: verdict.reason }
    default:
      // An answer that refuses one account is a healthy one.
      return { _tag: "Well" }
  }
}
