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

/** The verdict on a renewal's answer. */
export const decideRenewal = (strategy: AuthStrategy, connection: Connection, observation: Observation): Verdict =>
  read(
    () => strategy.renewal?.decide?.(observation, connection),
    () => decide(observation, connection.config.profile, connection.credential.secrets)
  )

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
