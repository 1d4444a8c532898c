/**
 * What keeps failing is asked less and less often.
 *
 * The pause grows with the time for which an account has failed without a success in between, so it doubles from one try to the next,
 * whoever tries, in whichever process. Nothing has to be counted.
 *
 * @module
 */
import { Duration, Effect, Random } from "effect"
import type { Verdict } from "../answer/Verdict.ts"
import { clockOff } from "./judge.ts"

const minute = 60_000
const day = 24 * 60 * minute

/** The renewer's shortest pause; up to half of a pause is added to it, so that accounts that failed together do not stay in step. */
const shortest = minute / 2
/** A dead credential is tried again no sooner than this. */
const shortestWhenDead = 60 * minute
/** What may pass by itself, as an outage does, is tried this often for a day. Longer than that it is no outage. */
const longestWhilePassing = 5 * minute
/** With the half that is added: once a day. */
const longest = (2 / 3) * day

/** A caller asks again at once after a first failure; one that goes on asking is told of the last one for up to this long. */
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
