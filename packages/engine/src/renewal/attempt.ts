/**
 * One attempt under a lease: write the intent, send, judge, and keep or give back. From the lease to the commit nothing interrupts it.
 *
 * @module
 */
import type { ConnectedAccountId, RefreshError } from "@rekindle/core"
import { Clock, Context, Duration, Effect, Option, Random } from "effect"
import { type Account, type AttemptResult, isUsable } from "../account/Account.ts"
import { decideRenewal } from "./TokenCommit.ts"
import type { Observation, Verdict } from "../answer/Verdict.ts"
import type { Parts } from "./parts.ts"
import { mayResend, type Ready } from "./prepare.ts"
import { failed, type Renewal, servedAfter, shared, storeDown, unavailable } from "./renewal.ts"

/** The points of a renewal at which a crash differs in what it leaves behind. */
export type Checkpoint = "before-lease" | "after-intent" | "after-response" | "after-commit"

/** Called at each checkpoint. For crash tests; does nothing unless replaced. */
export const AtCheckpoint = Context.Reference<(point: Checkpoint, id: ConnectedAccountId) => Effect.Effect<void>>(
  "@rekindle/engine/AtCheckpoint",
  { defaultValue: () => () => Effect.void }
)

/** What is known of a flight while it is under way. */
export interface Progress {
  /** Set once a request may have left: from then on nobody may say "nothing was done". */
  sent: boolean
}

/** What an attempt came to: the verdict for the breakers, and the renewal for those who wait. */
export interface Attempted {
  readonly verdict: Verdict
  readonly renewal: Effect.Effect<Renewal, RefreshError>
}

/** How often one flight sends the same request, where sending it again is safe. */
const sendsPerFlight = 3
/** The pauses between them: doubled each time, jittered. */
const firstPause = Duration.millis(200)
/** After a failure that may pass, the renewer looks again after this long, and up to twice that. */
const retryLater = Duration.seconds(30)

/** Makes the attempt. Undefined: the lease was not to be had, or not for long enough; look at the account anew. */
export const makeAttempt = ({ bounded, bury, inTime, lease, owner, requestTimeout, store, tokens }: Parts) => {
  /** Gives the lease back and leaves word. Not being able to is no reason to fail: the lease runs out by itself. */
  const release = Effect.fnUntraced(function* (leased: Account, verdict: Verdict, keepIntent: boolean) {
    const now = yield* Clock.currentTimeMillis
    const asked =
      verdict._tag === "Transient" && verdict.retryAfter !== undefined ? Duration.toMillis(verdict.retryAfter) : 0
    const pause = Math.max(asked, Duration.toMillis(retryLater)) * (1 + (yield* Random.next))
    const retryAt = Math.round(now + pause)
    const result: AttemptResult = {
      epoch: leased.epoch,
      verdict: verdict._tag,
      code: "code" in verdict ? verdict.code : null,
      retryAt: verdict._tag === "Transient" && asked > 0 ? Math.round(now + asked) : null
    }
    yield* bounded(
      store.release({
        id: leased.id,
        epoch: leased.epoch,
        keepIntent,
        renewAt: leased.renewAt === null ? null : retryAt,
        result
      })
    ).pipe(
      Effect.catch(({ message }) => Effect.logWarning("a lease could not be given back; it will run out", { message }))
    )
    return result
  })

  /** Sends, as often as is safe and useful, under the lease. */
  const send = Effect.fnUntraced(function* (ready: Ready, leased: Account, progress: Progress) {
    const { connection, renewal, strategy } = ready
    let pause = firstPause
    let doubtful = (leased.intent?.attempts ?? 1) > 1
    for (let count = 1; ; count++) {
      progress.sent = true
      const sent = Effect.catchDefect(
        renewal.send(connection),
        // A strategy that breaks may have sent.
        (defect) =>
          Effect.as(
            // Its name only: what a strategy says about itself may hold a secret.
            Effect.logError("a strategy broke while renewing", {
              accountId: leased.id,
              defect: defect instanceof Error ? defect.name : typeof defect
            }),
            noAnswer("the strategy broke")
          )
      )
      const observation: Observation = yield* inTime(sent, () => Effect.succeed(noAnswer("timeout")))
      const verdict = decideRenewal(strategy, connection, observation)
      if (verdict._tag === "NotApplied" && !doubtful) progress.sent = false
      if (verdict._tag === "Ambiguous") doubtful = true
      const now = yield* Clock.currentTimeMillis
      const resendable = verdict._tag === "NotApplied" || mayResend({ ...ready, account: leased }, now, requestTimeout)
      // A strict single-use token gets one more try, and only when there is no access token left to lose by it.
      const lastHope = verdict._tag === "Ambiguous" && !resendable && count === 1 && !isUsable(leased, now)
      const again = lastHope || (resendable && (verdict._tag === "NotApplied" || verdict._tag === "Ambiguous"))
      // The first request may still be at work over there: sent beside it, a single-use token revokes the grant.
      const jittered = Duration.times(pause, 0.5 + (yield* Random.next))
      const wait = lastHope ? Duration.max(jittered, requestTimeout) : jittered
      const timeLeft =
        (leased.lease?.until ?? 0) - now - Duration.toMillis(wait) - 2 * Duration.toMillis(requestTimeout)
      if (!again || count >= sendsPerFlight || timeLeft < 0) return { observation, verdict, doubtful }
      yield* Effect.sleep(wait)
      pause = Duration.times(pause, 2)
    }
  })

  return Effect.fnUntraced(function* (
    ready: Ready,
    progress: Progress
  ): Effect.fn.Return<Attempted | undefined, RefreshError> {
    const { account, connection, intentHash, strategy } = ready
    const checkpoint = yield* AtCheckpoint
    yield* checkpoint("before-lease", account.id)
    const clock = yield* Clock.currentTimeMillis
    const now = ready.waitedOut ? Math.max(clock, account.lease?.until ?? 0) : clock
    const begun = yield* bounded(store.begin({ account, owner, leaseMillis: lease, intentHash, now })).pipe(
      Effect.mapError(storeDown)
    )
    if (Option.isNone(begun)) {
      if (ready.waitedOut) return yield* unavailable("busy", "another process is renewing this account")
      return undefined
    }
    const leased = begun.value
    yield* checkpoint("after-intent", account.id)
    // A machine that slept here wakes to a lease that is over, and another process may be at work with the same token.
    if ((yield* Clock.currentTimeMillis) >= (leased.lease?.until ?? 0)) {
      yield* release(leased, { _tag: "NotApplied", reason: "the lease is over" }, account.intent !== null)
      return undefined
    }
    const { doubtful, observation, verdict } = yield* send(ready, leased, progress)
    yield* checkpoint("after-response", account.id)
    yield* Effect.logDebug("token endpoint answered", { accountId: account.id, verdict: verdict._tag })

    switch (prolongs(verdict, observation, leased) ? "Renewed" : verdict._tag) {
      case "Renewed": {
        if (observation._tag !== "Answer" || !("tokens" in verdict))
          return yield* Effect.die("tokens without an answer")
        if (verdict.tokens.irregularities.length > 0) {
          yield* Effect.logWarning("tokens kept from an irregular answer", {
            accountId: account.id,
            irregularities: verdict.tokens.irregularities
          })
        }
        const kept = yield* tokens
          .keep({
            account: leased,
            config: connection.config,
            held: connection.credential,
            tokens: verdict.tokens,
            answer: observation,
            event: "Renewed",
            grantId: leased.grantId
          })
          .pipe(Effect.mapError(({ message }) => failed("commit_pending", message)))
        yield* checkpoint("after-commit", account.id)
        return { verdict, renewal: Effect.succeed({ _tag: "Renewed", account: kept.account }) }
      }
      case "Dead": {
        const buried = yield* bury(leased, strategy.consent !== undefined, doubtful)
        return { verdict, renewal: Effect.succeed(buried) }
      }
      default: {
        const keepIntent = doubtful && verdict._tag !== "NotRenewed"
        const result = yield* release(leased, verdict, keepIntent)
        const now = yield* Clock.currentTimeMillis
        const why = servedAfter(verdict._tag)
        return {
          verdict,
          renewal:
            why !== undefined && isUsable(leased, now)
              ? Effect.succeed({ _tag: "Served", account: leased, why })
              : shared(result, now)
        }
      }
    }
  }, Effect.uninterruptible)
}

/** By how much an expiry has to be later to have moved: what latency and rounding do is less. */
const movedBy = Duration.toMillis("1 minute")

/** Whether an answer with the access token in hand gives that token a longer life. */
const prolongs = (verdict: Verdict, observation: Observation, { expiresAt }: Account): boolean =>
  verdict._tag === "NotRenewed" &&
  observation._tag === "Answer" &&
  verdict.tokens.expiresIn !== undefined &&
  expiresAt !== null &&
  (verdict.tokens.expiresIn === null || observation.receivedAt + verdict.tokens.expiresIn * 1000 > expiresAt + movedBy)

const noAnswer = (reason: string): Observation => ({ _tag: "NoAnswer", reason })
