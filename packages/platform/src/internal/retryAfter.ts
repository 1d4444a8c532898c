/**
 * `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
 *
 * @module
 */
import { Duration } from "effect"

/**
 * How long the header asks to wait; `now` is in epoch milliseconds. A date in the past gives zero. Any other form gives `undefined`.
 */
export const parseRetryAfter = (header: string | undefined, now: number): Duration.Duration | undefined => {
  if (header === undefined) return undefined
  // undici does not remove space after a value.
  const value = header.trim()
  if (/^[+-]?\d+$/.test(value)) return Duration.seconds(Math.max(0, Number(value)))
  // Date.parse accepts much that is no HTTP date, so the common shape of the three forms is checked first.
  // One of them, asctime, does not state GMT.
  const isDate = /^[A-Z][a-z]{2,8},? .*\d\d:\d\d:\d\d/.test(value)
  const date = isDate ? Date.parse(value.endsWith("GMT") ? value : `${value} GMT`) : Number.NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}
