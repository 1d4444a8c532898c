/**
 * The pauses after failures, which grow while an account keeps failing.
 *
 * A pause is proportional to the time since the first failure in a row, so it doubles from one attempt to the next, in whatever process. No
 * attempts have to be counted.
 *
 * @module
 */
import { Duration, Effect, Random } from "effect"
import type { Verdict } from "../answer/Verdict.ts"
import { clockOff } from "./judge.ts"

const minute = 60_000
const day = 24 * 60 * minute

/** The renewer's shortest pause. Jitter adds up to half of a pause, so that accounts that failed together spread out. */
const shortest = minute / 2
/** A dead credential is tried again no sooner than this. */
const shortestWhenDead = 60 * minute
/** The longest pause within a day of failures that may pass by themselves, such as an outage. After a day it is no outage. */
const longestWhilePassing = 5 * minute
/** The longest pause after that: with jitter, once a day. */
const longest = (2 / 3) * day

/** The longest time for which callers get the last failure instead of a new attempt. After a first failure, a new attempt starts at once. */
const longestForCallers = 2 * minute

/** Whether a failure may pass without anybody changing a setting or a credential. */
export const mayPass = (verdict: Verdict): boolean =>
  verdict._tag === "NotApplied" ||
  verdict._tag === "Ambiguous" ||
  verdict._tag === "Transient" ||
  (verdict._tag === "Misconfigured" && verdict.code === clockOff)

/**
 * How long to leave an account alone after a failure, in milliseconds.
 *
 * @param failingFor since the first failure in a row, in milliseconds. Below zero, a clock was set back: it says nothing.
 */
export const pauses = (
  verdict: Verdict,
  failingFor: number
): Effect.Effect<{ readonly renewer: number; readonly callers: number }> =>
  Effect.map(Random.next, (random) => {
    const asked =
      verdict._tag === "Transient" && verdict.retryAfter !== undefined ? Duration.toMillis(verdict.retryAfter) : 0
    const most = mayPass(verdict) && failingFor < day ? longestWhilePassing : longest
    const least = verdict._tag === "Dead" ? shortestWhenDead : shortest
    const renewer = Math.max(asked, Math.min(Math.max(failingFor, least), most))
    return {
      renewer: Math.round(renewer * (1 + random / 2)),
      callers: Math.round(Math.max(asked, Math.min(Math.max(failingFor, 0), longestForCallers)))
    }
  })
