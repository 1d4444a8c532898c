/**
 * One attempt under a lease: write the intent, send, judge, and then commit the tokens or release the lease. It is uninterruptible from the
 * lease to the commit.
 *
 * @module
 */
import { type ConnectedAccountId, MonotonicClock, type RefreshError } from "@rekindle/core"
import { Clock, Context, Effect, Exit, Option, Scope } from "effect"
import { isExpiring, isUsable } from "../account/Account.ts"
import type { Learn } from "./Circuits.ts"
import type { RenewalContext } from "./context.ts"
import type { JournalError } from "./Journal.ts"
import type { Overdue } from "./lateAnswers.ts"
import { mayResend, type Sendable } from "./prepare.ts"
import { codeOf, makeRelease } from "./release.ts"
import { failed, isRefused, type Renewal, renewalAfter, storeDown, unavailable } from "./renewal.ts"
import { type LateRenewal, type Limits, makeSend, type Progress } from "./send.ts"

/** The points of a renewal at which a crash leaves different states behind. */
export type Checkpoint = "before-lease" | "after-intent" | "after-response" | "after-commit"

/** Called at each checkpoint, for crash tests. It does nothing by default. */
export const AtCheckpoint = Context.Reference<(point: Checkpoint, id: ConnectedAccountId) => Effect.Effect<void>>(
  "@rekindle/engine/AtCheckpoint",
  { defaultValue: () => () => Effect.void }
)

/** Makes the attempt. It returns `undefined` if the lease was not acquired, or expired before a request was sent; re-read the account. */
export const makeAttempt = (context: RenewalContext) => {
  const { bounded, lateAnswers, lease, markDead, owner, requestTimeout, store, tokens } = context
  const { giveBack, release } = makeRelease(context)
  const { keep, keepLate, send } = makeSend(context)

  const attempt = Effect.fnUntraced(function* (
    sendable: Sendable,
    progress: Progress,
    learn: Learn
  ): Effect.fn.Return<Renewal | undefined, RefreshError | JournalError, Scope.Scope> {
    const { account, strategy } = sendable
    const { answers, rooms } = yield* roomForAnswers
    yield* Scope.provide(tokens.room, rooms)
    const checkpoint = yield* AtCheckpoint
    const clock = yield* Clock.Clock
    yield* checkpoint("before-lease", account.id)
    const startedAt = MonotonicClock.millisUnsafe(clock)
    const begunAt = clock.currentTimeMillisUnsafe()
    const taken = yield* bounded(
      store.begin({
        account,
        owner,
        leaseMillis: lease,
        now: begunAt,
        takeOver: sendable.waitedOut
      })
    ).pipe(Effect.mapError(storeDown))
    if (Option.isNone(taken)) return undefined
    const leased = taken.value
    yield* checkpoint("after-intent", account.id)
    /**
     * The time now, in epoch milliseconds, by two clocks: as the wall clock was set when the lease was taken, and as it is set now.
     * Corrections of the wall clock do not move the monotonic one, and the monotonic one stands still while a machine sleeps.
     */
    const nowByBoth = () => [begunAt + MonotonicClock.millisUnsafe(clock) - startedAt, clock.currentTimeMillisUnsafe()]
    const limits: Limits = {
      // Requests are sent in the first half of the lease. A request takes less than half of one, and the rest is for the commit.
      timeLeft: () => begunAt + lease / 2 - Math.max(...nowByBoth()),
      isRepeatable: () => nowByBoth().every((now) => mayResend({ ...sendable, account: leased }, now, requestTimeout))
    }
    const overdue = lateAnswers(startedAt + lease, keepLate(sendable, leased, learn))
    answers.overdue = overdue
    const sent = yield* send(sendable, leased, limits, overdue, rooms, progress)
    if (sent._tag === "TooLate") {
      yield* giveBack(sendable, leased, sent.verdict, sent.doubtful, overdue)
      return undefined
    }
    yield* learn(sent.evidence)
    if (sent._tag === "Late") return yield* sent.renewal
    const { doubtful, issued, verdict } = sent
    yield* checkpoint("after-response", account.id)
    yield* Effect.logDebug("a renewal was tried", {
      accountId: account.id,
      verdict: verdict._tag,
      code: codeOf(verdict)
    })

    if (issued !== undefined) {
      const renewed = yield* keep(sendable, leased, issued).pipe(
        Effect.mapError(({ message }) => failed("commit_pending", message))
      )
      yield* checkpoint("after-commit", account.id)
      return { _tag: "Renewed", account: renewed }
    }
    switch (verdict._tag) {
      case "Dead": {
        // A death that is already stored is not written again. The stored result keeps callers from trying at once.
        const known =
          leased.status === "EXPIRED" ||
          (isExpiring(leased) && !isRefused(leased, progress) && isUsable(leased, yield* Clock.currentTimeMillis))
        if (known && strategy.consent === undefined) {
          yield* release(leased, verdict, { intent: false, lease: false })
          return { _tag: "Rejected", account: { ...leased, lease: null, intent: null } }
        }
        return yield* markDead(leased, strategy, { lost: doubtful, code: codeOf(verdict) }, progress)
      }
      default: {
        const result = yield* giveBack(sendable, leased, verdict, doubtful && verdict._tag !== "NotRenewed", overdue)
        return yield* renewalAfter(leased, result, yield* Clock.currentTimeMillis, progress)
      }
    }
  }, Effect.uninterruptible)

  return (sendable: Sendable, progress: Progress, learn: Learn) =>
    Effect.catchTag(Effect.scoped(attempt(sendable, progress, learn)), "JournalError", () =>
      Effect.fail(unavailable("journal_unavailable", "the journal has no space for the answer; nothing was sent"))
    )
}

/** The scope that reserves space in the journal. It stays open during the attempt, and then until no late answer can arrive. */
const roomForAnswers = Effect.gen(function* () {
  const rooms = yield* Scope.make()
  const answers: { overdue: Overdue<LateRenewal> | undefined } = { overdue: undefined }
  yield* Effect.addFinalizer(() => {
    const letGo = Scope.close(rooms, Exit.void)
    return answers.overdue?.whenOver(letGo) ?? letGo
  })
  return { rooms, answers }
})
