/**
 * `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
 *
 * @module
 */
import { Duration } from "effect"

/**
 * How long it asks to wait, `now` in epoch milliseconds. What lies in the past is no wait; what is neither form says nothing.
 */
export const parseRetryAfter = (header: string | undefined, now: number): Duration.Duration | undefined => {
  if (header === undefined) return undefined
  // Space behind a value is not part of it, but undici leaves it there.
  const value = header.trim()
  if (/^[+-]?\d+$/.test(value)) return Duration.seconds(Math.max(0, Number(value)))
  // Date.parse finds a date in much that is none, so the shape all HTTP dates share is asked for first.
  // One of the three, asctime, does not say that it is GMT.
  const isDate = /^[A-Z][a-z]{2,8},? .*\d\d:\d\d:\d\d/.test(value)
  const date = isDate ? Date.parse(value.endsWith("GMT") ? value : `${value} GMT`) : Number.NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}
