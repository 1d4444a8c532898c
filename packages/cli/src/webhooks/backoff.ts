/**
 * When an endpoint is tried again after it failed.
 *
 * @module
 */
import { Duration } from "effect"

/** How long an event is tried. */
export const giveUpAfter = Duration.days(1)

/** The longest wait between two attempts. */
const longest = Duration.hours(6)

/**
 * How long to wait after the given number of failures in a row, in milliseconds: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, and then up to 6
 * hours, so that an endpoint is tried ten times in a day. Jitter moves each by up to a fifth, so that endpoints of one host that failed
 * together do not come back together. A longer `Retry-After` is obeyed, up to the longest wait.
 *
 * @param random a number from 0 to 1.
 */
export const backoff = (failures: number, random: number, retryAfter: Duration.Duration = Duration.zero): number => {
  const most = Duration.toMillis(longest)
  const wait = Math.min(5_000 * 4 ** (failures - 1), most) * (0.8 + 0.4 * random)
  return Math.round(Math.max(wait, Math.min(Duration.toMillis(retryAfter), most)))
}
