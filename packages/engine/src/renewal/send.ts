/**
 * Sends a renewal request under a lease, judges its answer, and commits the tokens, in time or late.
 *
 * @module
 */
import type { RefreshError } from "@rekindle/core"
import { Clock, Deferred, Duration, Effect, Option, Random, Scope } from "effect"
import { type Account, inService, isKnownDead, isOver } from "../account/Account.ts"
import { noAnswer, type Observation, type Verdict } from "../answer/Verdict.ts"
import { Passage } from "../egress/Passage.ts"
import type { Evidence, Learn } from "./Circuits.ts"
import type { RenewalContext } from "./context.ts"
import { decideRenewal, prolongs } from "./judge.ts"
import type { Overdue } from "./lateAnswers.ts"
import { nextStep } from "./nextStep.ts"
import { observed, tokenRequest } from "./observe.ts"
import type { Sendable } from "./prepare.ts"
import { failed, isRefused, type Renewal, type Reports } from "./renewal.ts"
import type { Issued } from "./TokenCommit.ts"

/** The state of a flight in progress. */
export interface Progress extends Reports {
  /** True while a request with an unknown result may have been sent. Then no failure may say "nothing was sent". */
  sent: boolean
}

/** How far an attempt may still send. Both are asked again before each request, because time passes between two. */
export interface Limits {
  /** How long the lease still allows requests to be sent, in milliseconds. */
  readonly timeLeft: () => number
  /** Whether the token may be sent again although it may be spent. See `mayResend`. */
  readonly isRepeatable: () => boolean
}

/** What a late answer is for the callers, once its tokens are committed or left to the journal. */
export type LateRenewal = Effect.Effect<Renewal, RefreshError>

/** The verdict on an observation, and the tokens to commit, if there are any. */
interface Judged {
  readonly verdict: Verdict
  readonly issued: Pick<Issued, "recorded" | "tokens"> | undefined
}

/** The result of sending. */
export type Sent =
  | {
      readonly _tag: "Judged"
      readonly verdict: Verdict
      readonly issued: Judged["issued"]
      readonly evidence: Evidence
      /** Whether a request of this attempt, or of an earlier one, may have been carried out although its answer is missing. */
      readonly doubtful: boolean
    }
  /** The request was not sent: the lease had ended, or the token in doubt turned out not to be needed. Read the account again. */
  | { readonly _tag: "TooLate"; readonly verdict: Verdict; readonly doubtful: boolean }
  /**
   * Tokens are committed: those of a late answer, or of a consent that was completed meanwhile. What a late answer shows was learnt when it
   * came.
   */
  | { readonly _tag: "Late"; readonly evidence: Evidence; readonly renewal: LateRenewal }

/** Makes `send`, `keep` and `keepLate`. */
export const makeSend = ({ find, limited, requestTimeout, tokens }: RenewalContext) => {
  /** Writes an answer to the journal before it is judged, so that it cannot be lost. */
  const judge = Effect.fnUntraced(function* (
    { connection, strategy }: Sendable,
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
    { connection }: Sendable,
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

  /** Commits the tokens of a late answer, if it has any. */
  const keepLate = (sendable: Sendable, leased: Account, learn: Learn) =>
    Effect.fnUntraced(function* (observation: Observation) {
      const { issued, verdict } = yield* judge(sendable, leased, observation)
      if (issued === undefined) return Option.none<LateRenewal>()
      yield* learn(evidenceOf(verdict))
      yield* Effect.logInfo("a late answer arrived; its tokens are kept", { accountId: leased.id })
      return yield* keep(sendable, leased, issued).pipe(
        Effect.match({
          onFailure: ({ message }): LateRenewal => Effect.fail(failed("commit_pending", message)),
          onSuccess: (account): LateRenewal => Effect.succeed({ _tag: "Renewed", account })
        }),
        Effect.map(Option.some)
      )
    })

  /** Sends as often as is safe and useful, while the lease allows it. */
  const send = Effect.fnUntraced(function* (
    sendable: Sendable,
    leased: Account,
    { isRepeatable, timeLeft }: Limits,
    overdue: Overdue<LateRenewal>,
    rooms: Scope.Scope,
    progress: Progress
  ): Effect.fn.Return<Sent> {
    const { connection, renewal } = sendable
    let doubtful = (leased.intent?.attempts ?? 1) > 1
    let tooLate = false
    let broke = false
    const clock = yield* Clock.Clock
    const isUsable = () =>
      inService(leased) && !isRefused(leased, progress) && !isOver(leased, clock.currentTimeMillisUnsafe())
    /**
     * Whether a token may be spent that an access token does not need yet. This was decided before the lease, and before the last pause.
     * The clock may have been set since.
     */
    const isNeedless = () => doubtful && isUsable() && !isRepeatable()
    for (let sends = 1; ; sends++) {
      // A strategy may still send after its time limit. Closing its request prevents that.
      let closed = false
      const refusal = () => {
        if (closed) return "time_over"
        // The token is spent, and the new tokens are being committed.
        if (overdue.hasCome()) return "answered"
        const reason = timeLeft() <= 0 ? "lease_over" : isNeedless() ? "access_token_works" : undefined
        tooLate = reason !== undefined
        return reason
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
            // Only the name of the defect is logged, because its message may hold a secret.
            Effect.logError("a strategy failed with a defect while renewing", {
              accountId: leased.id,
              defect: defect instanceof Error ? defect.name : typeof defect
            }),
            // The strategy may have sent the request.
            noAnswer("strategy_failed")
          )
        })
      )
      const unanswered = () => Effect.succeed(noAnswer("timed_out"))
      const { issued, verdict } = yield* limited(request, requestTimeout, unanswered, overdue.takeOver).pipe(
        Effect.flatMap((observation) => {
          closed = true
          return Effect.map(judge(sendable, leased, observation), (judged) => ({ observation, ...judged }))
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
        if (Deferred.isDoneUnsafe(overdue.kept))
          return { _tag: "Late", evidence: nothing, renewal: yield* Deferred.await(overdue.kept) }
      }
      if (verdict._tag === "NotApplied" && tooLate) return { _tag: "TooLate", verdict, doubtful }
      const repeatable = isRepeatable()
      const step = nextStep({
        verdict: verdict._tag,
        sends,
        repeatable,
        usable: isUsable(),
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
      const late = yield* limited(Deferred.await(overdue.kept), pause, () => Effect.undefined)
      if (late !== undefined) return { _tag: "Late", evidence: nothing, renewal: late }
      // Each request reserves space for its own answer, because the answer before was written, or may still arrive.
      const hasRoom = verdict._tag !== "Ambiguous" || (yield* Effect.isSuccess(Scope.provide(tokens.room, rooms)))
      if (!hasRoom) return judged
      if (verdict._tag === "Ambiguous" && !repeatable) {
        // A person may have consented meanwhile. Then the token in doubt is not needed, and sending it could only do harm.
        const current = Option.getOrUndefined(yield* Effect.option(find(leased.id)))
        if (current?.epoch !== leased.epoch || current.status === "INACTIVE" || current.status === "REVOKED")
          return judged
        if (current.generation !== leased.generation) {
          const renewed: LateRenewal = Effect.succeed({ _tag: "Renewed", account: current })
          return { _tag: "Late", evidence: judged.evidence, renewal: renewed }
        }
      }
    }
  })

  return { keep, keepLate, send }
}

const nothing: Evidence = { _tag: "Nothing" }

/** The evidence of a verdict about the provider and the application. */
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
      // An answer that refuses one account shows that the provider works.
      return { _tag: "Well" }
  }
}
