/**
 * The verdict on an answer: that of the strategy if it has one of its own, otherwise that of the decision table.
 *
 * @module
 */
import type { AuthStrategy, Connection } from "../strategies/AuthStrategy.ts"
import { Duration } from "effect"
import type { Account } from "../account/Account.ts"
import { decide, type Observation, type Verdict } from "../answer/Verdict.ts"

/**
 * Reads an answer with the strategy. If the strategy has no verdict or throws, the decision table decides, because the answer may have
 * tokens.
 */
const read = (own: () => Verdict | undefined, byTable: () => Verdict): Verdict => {
  try {
    return own() ?? byTable()
  } catch {
    return byTable()
  }
}

/**
 * The maximum difference between the provider's clock and this machine's, in milliseconds. Beyond it, a refused assertion is attributed to
 * the clock.
 */
const clockTolerance = Duration.toMillis("1 minute")

/** The code of a refusal that is attributed to this machine's clock. */
export const clockOff = "clock_off"

/** Whether the provider's `Date` (RFC 9110 §6.6.1) shows that this machine's clock is wrong. */
const isClockOff = (observation: Observation): boolean => {
  if (observation._tag !== "Answer") return false
  const date = Date.parse(observation.headers?.["date"] ?? "")
  return !Number.isNaN(date) && Math.abs(date - observation.receivedAt) > clockTolerance
}

/**
 * The verdict on the answer to a renewal. A request that states this machine's time is refused if the clock is wrong. Such a refusal says
 * nothing about the credential.
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

/** The verdict on the answer to a consent's code. There are no held tokens, so all tokens are new. */
export const decideConsent = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict =>
  read(
    () => strategy.consent?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile)
  )

/** The minimum extension of an expiry, in milliseconds. Smaller changes come from latency and rounding. */
const minimumExtension = Duration.toMillis("1 minute")

/** Whether an answer with the held access token extends that token's life. */
export const prolongs = (verdict: Verdict, observation: Observation, { expiresAt }: Account): boolean =>
  verdict._tag === "NotRenewed" &&
  observation._tag === "Answer" &&
  verdict.tokens.expiresIn !== undefined &&
  expiresAt !== null &&
  (verdict.tokens.expiresIn === null ||
    observation.receivedAt + verdict.tokens.expiresIn * 1000 > expiresAt + minimumExtension)
