/**
 * The end of an attempt without a new credential: the lease is released, and the result is stored in the account's row for all callers.
 *
 * @module
 */
import { Clock, Deferred, Effect } from "effect"
import { type Account, type AttemptResult, isExpiring, isKnownDead } from "../account/Account.ts"
import type { Verdict } from "../answer/Verdict.ts"
import type { RenewalContext } from "./context.ts"
import type { Overdue } from "./lateAnswers.ts"
import { mayPass, pauses } from "./pauses.ts"
import { mayResend, type Sendable } from "./prepare.ts"
import type { LateRenewal } from "./send.ts"

/** How long a failure that may pass has to last before it is logged, in milliseconds. */
const reportAfter = 60_000

/** Makes `release` and `giveBack`. */
export const makeRelease = ({ bounded, requestTimeout, store }: RenewalContext) => {
  /** Releases the lease and stores the result. If that fails, the lease expires by itself. */
  const release = Effect.fnUntraced(function* (
    leased: Account,
    verdict: Verdict,
    keep: { readonly intent: boolean; readonly lease: boolean }
  ) {
    const now = Math.round(yield* Clock.currentTimeMillis)
    const since = leased.lastAttempt?.since ?? (leased.status === "EXPIRED" ? leased.updatedAt : now)
    const { callers, renewer } = yield* pauses(verdict, now - since)
    const reported = leased.lastAttempt?.reported ?? isKnownDead(leased)
    // A failure that may pass is logged only when it has lasted.
    const report = !reported && (!mayPass(verdict) || now - since >= reportAfter)
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
      // The result of one request says nothing about an earlier one that is still in doubt.
      verdict: keep.intent ? "Ambiguous" : verdict._tag,
      code: codeOf(verdict),
      retryAt: callers === 0 ? null : now + callers,
      at: now,
      since,
      reported: reported || report
    }
    yield* bounded(
      store.release({
        id: leased.id,
        epoch: leased.epoch,
        keepIntent: keep.intent,
        keepLease: keep.lease,
        // The account is due no later than the access token of a dead credential ends.
        renewAt:
          leased.renewAt === null
            ? null
            : Math.min(now + renewer, (isExpiring(leased) ? leased.expiresAt : null) ?? Infinity),
        result
      })
    ).pipe(
      Effect.catch(({ message }) => Effect.logWarning("a lease could not be released; it will expire", { message }))
    )
    return result
  })

  /**
   * Releases the lease. The intent stays if the token may be spent. Other processes may not send a strict single-use token while its answer
   * may still arrive. In that case the lease stays too until then.
   */
  const giveBack = Effect.fnUntraced(function* (
    sendable: Sendable,
    leased: Account,
    verdict: Verdict,
    intent: boolean,
    overdue: Overdue<LateRenewal>
  ) {
    const now = yield* Clock.currentTimeMillis
    const waits = intent && overdue.isOpen() && !mayResend({ ...sendable, account: leased }, now, requestTimeout)
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

  return { giveBack, release }
}

/** The code of a verdict, which may be shown. */
export const codeOf = (verdict: Verdict): string | null =>
  "code" in verdict ? verdict.code : "reason" in verdict ? verdict.reason : null
