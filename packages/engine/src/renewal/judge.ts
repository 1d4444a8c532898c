/**
 * The verdict on an answer: the strategy's own reading if it has one, the decision table's otherwise.
 *
 * @module
 */
import type { AuthStrategy, Connection } from "../strategies/AuthStrategy.ts"
import { Duration } from "effect"
import type { Account } from "../account/Account.ts"
import { decide, type Observation, type Verdict } from "../answer/Verdict.ts"

/** The strategy's own reading; the decision table's where it has none, or breaks: an answer may hold tokens. */
const read = (own: () => Verdict | undefined, byTable: () => Verdict): Verdict => {
  try {
    return own() ?? byTable()
  } catch {
    return byTable()
  }
}

/** By how much the provider's clock and ours may differ before a refused assertion is put down to that. */
const tolerated = Duration.toMillis("1 minute")

/** The code of a refusal that is put down to this machine's clock. */
export const clockOff = "clock_off"

/** Whether the provider's `Date` (RFC 9110 §6.6.1) shows that this machine's clock is off. */
const isClockOff = (observation: Observation): boolean => {
  if (observation._tag !== "Answer") return false
  const date = Date.parse(observation.headers?.["date"] ?? "")
  return !Number.isNaN(date) && Math.abs(date - observation.receivedAt) > tolerated
}

/**
 * The verdict on a renewal's answer. A request that states this machine's time is refused where the clock is off, and that says nothing
 * about the credential.
 */
export const decideRenewal = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict => {
  const verdict = read(
    () => strategy.renewal?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile, connection.credential.secrets)
  )
  return verdict._tag === "Dead" && strategy.renewal?.statesTime === true && isClockOff(observation)
    ? { _tag: "Misconfigured", code: clockOff }
    : verdict
}

/** The verdict on the answer to a consent's code: nothing was held, so whatever came is new. */
export const decideConsent = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict =>
  read(
    () => strategy.consent?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile)
  )

/** By how much an expiry has to be later to have moved: what latency and rounding do is less. */
const movedBy = Duration.toMillis("1 minute")

/** Whether an answer with the access token in hand gives that token a longer life. */
export const prolongs = (verdict: Verdict, observation: Observation, { expiresAt }: Account): boolean =>
  verdict._tag === "NotRenewed" &&
  observation._tag === "Answer" &&
  verdict.tokens.expiresIn !== undefined &&
  expiresAt !== null &&
  (verdict.tokens.expiresIn === null || observation.receivedAt + verdict.tokens.expiresIn * 1000 > expiresAt + movedBy)
