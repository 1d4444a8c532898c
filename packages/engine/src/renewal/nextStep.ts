/**
 * Decides whether a renewal sends its request again, and when. It is a pure function of the situation after a verdict.
 *
 * @module
 */
import type { Verdict } from "../answer/Verdict.ts"

/** The situation after a verdict. Times are in milliseconds. */
export interface Situation {
  readonly verdict: Verdict["_tag"]
  /** How often this attempt has sent the request. */
  readonly sends: number
  /** Whether the token may be sent again although it may be spent, because it is not consumed or its reuse window is open. */
  readonly repeatable: boolean
  /** Whether the held access token still works. */
  readonly usable: boolean
  /** Whether a late answer may still arrive. */
  readonly answerMayCome: boolean
  /** How long the lease still allows requests to be sent. */
  readonly timeLeft: number
  readonly requestTimeout: number
  /** The jitter of the backoff, from 0 to 1. */
  readonly jitter: number
}

/** Stop, or send the request again after a pause. */
export type NextStep = { readonly _tag: "Stop" } | { readonly _tag: "SendAgain"; readonly pause: number }

/** How often one attempt sends the same request, if sending it again is safe. */
const maxSends = 3
/** The first pause, in milliseconds. Each further pause is twice as long. Jitter changes it by up to half. */
const firstPause = 200

const stop: NextStep = { _tag: "Stop" }

/** Decides whether to stop or to send again. */
export const nextStep = (situation: Situation): NextStep => {
  const { answerMayCome, jitter, repeatable, requestTimeout, sends, timeLeft, usable, verdict } = situation
  if (verdict !== "NotApplied" && verdict !== "Ambiguous") return stop
  if (sends >= maxSends) return stop
  const backoff = firstPause * 2 ** (sends - 1) * (0.5 + jitter)
  const sendAfter = (pause: number): NextStep => (pause < timeLeft ? { _tag: "SendAgain", pause } : stop)
  if (verdict === "NotApplied" || repeatable) return sendAfter(backoff)
  // A strict single-use token gets one more try, and only if no access token is left that the try could invalidate.
  if (usable || sends > 1) return stop
  // The provider may still be processing the first request. A second one beside it would revoke the grant. While the answer may arrive, it
  // is awaited for as long as there is time for another try. A tenth of the time is left, because clocks may be late.
  return sendAfter(Math.max(backoff, requestTimeout, answerMayCome ? timeLeft * 0.9 : 0))
}
