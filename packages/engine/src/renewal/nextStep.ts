/**
 * Whether a renewal sends its request once more, and when: a pure function of what is known after a verdict.
 *
 * @module
 */
import type { Verdict } from "../answer/Verdict.ts"

/** What is known after a verdict. Times are in milliseconds. */
export interface Situation {
  readonly verdict: Verdict["_tag"]
  /** How often this attempt has sent the request. */
  readonly sends: number
  /** Whether the token may be sent again although it may be spent: it is not consumed, or its reuse window is open. */
  readonly repeatable: boolean
  /** Whether the access token in hand still works. */
  readonly usable: boolean
  /** Whether the answer to a request that counts as unanswered may still come. */
  readonly answerMayCome: boolean
  /** For how long the lease lets requests leave. */
  readonly timeLeft: number
  readonly requestTimeout: number
  /** Of the backoff, from 0 to 1. */
  readonly jitter: number
}

/** Stop, or send the request again after a pause. */
export type NextStep = { readonly _tag: "Stop" } | { readonly _tag: "SendAgain"; readonly pause: number }

/** How often one attempt sends the same request, where sending it again is safe. */
const mostSends = 3
/** The first pause; each further one is twice as long. Jitter takes up to half of it away, or adds as much. */
const firstPause = 200

const stop: NextStep = { _tag: "Stop" }

/** Decides whether to stop or to send again. */
export const nextStep = (situation: Situation): NextStep => {
  const { answerMayCome, jitter, repeatable, requestTimeout, sends, timeLeft, usable, verdict } = situation
  if (verdict !== "NotApplied" && verdict !== "Ambiguous") return stop
  if (sends >= mostSends) return stop
  const backoff = firstPause * 2 ** (sends - 1) * (0.5 + jitter)
  const sendAfter = (pause: number): NextStep => (pause < timeLeft ? { _tag: "SendAgain", pause } : stop)
  if (verdict === "NotApplied" || repeatable) return sendAfter(backoff)
  // A strict single-use token gets one more try, and only when there is no access token left to lose by it.
  if (usable || sends > 1) return stop
  // The first request may still be at work over there: sent beside it, the token revokes the grant. While its answer may come, that is
  // waited for as long as there is time for another try; a tenth is left for the clock to be late.
  return sendAfter(Math.max(backoff, requestTimeout, answerMayCome ? timeLeft * 0.9 : 0))
}
