/**
 * The pauses after failures. They grow while an account keeps failing.
 *
 * A pause is proportional to the time since the first failure in a row, so it doubles from one attempt to the next, across processes.
 * Attempts need not be counted.
 *
 * @module
 */
import { Duration, Effect, Random } from "effect"
import type { Verdict } from "../answer/Verdict.ts"
import { clockOff } from "./judge.ts"

const minute = 60_000
const day = 24 * 60 * minute

/** The renewer's minimum pause, in milliseconds. Jitter adds up to half of a pause, so that accounts that failed together spread out. */
const shortest = minute / 2
/** The minimum pause before a dead credential is tried again, in milliseconds. */
const shortestWhenDead = 60 * minute
/** The maximum pause for failures that may pass by themselves, such as an outage, in milliseconds. It applies on their first day. */
const longestWhilePassing = 5 * minute
/** The maximum pause otherwise, in milliseconds. With jitter, the account is tried once a day. */
const longest = (2 / 3) * day

/**
 * The maximum time for which callers get the last failure instead of a new attempt, in milliseconds. After a first failure, a new attempt
 * starts at once.
 */
const longestForCallers = 2 * minute

/** Whether a failure may pass without a change of a setting or a credential. */
export const mayPass = (verdict: Verdict): boolean =>
  verdict._tag === "NotApplied" ||
  verdict._tag === "Ambiguous" ||
  verdict._tag === "Transient" ||
  (verdict._tag === "Misconfigured" && verdict.code === clockOff)

/**
 * How long to wait after a failure before the account is tried again, in milliseconds.
 *
 * @param failingFor the time since the first failure in a row, in milliseconds. It is below zero if a clock was set back, and is then
 *   ignored.
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
