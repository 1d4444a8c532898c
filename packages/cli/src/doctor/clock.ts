/**
 * This machine's clock against the `Date` of answers (RFC 9110 §6.6.1). A provider refuses signed assertions and tokens "of the future" if
 * the clock is off, with errors that do not say so.
 *
 * @module
 */
import { type Finding, ok, problem, warning } from "./Finding.ts"

/** The `Date` of an answer, and when it arrived here, both in epoch milliseconds. */
export interface DatedAnswer {
  readonly date: number
  readonly receivedAt: number
}

/** `Date` has whole seconds, and the answer was on its way for a while. */
const tolerated = 5_000

/** The skew that providers usually still accept in an assertion. */
const accepted = 60_000

/** Reads the header `Date` of an answer. Undefined if there is none. */
export const datedAnswer = (date: string | undefined, receivedAt: number): DatedAnswer | undefined => {
  const at = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(at) ? undefined : { date: at, receivedAt }
}

/** Compares the clocks by the median, because a provider's clock may be off as well. */
export const compare = (answers: ReadonlyArray<DatedAnswer>, subject: string): Finding => {
  const about = { check: "clock", subject } as const
  const skews = answers.map(({ date, receivedAt }) => receivedAt - date).toSorted((one, other) => one - other)
  const median = skews[Math.floor(skews.length / 2)]
  if (median === undefined)
    return warning(about, "no answer had a date", "compare the clock of this machine with another by hand")
  const off = Math.abs(median)
  if (off <= tolerated) return ok(about, "the clock agrees with theirs")
  const says = `the clock of this machine is ${Math.round(off / 1000)} s ${median > 0 ? "ahead" : "behind"}`
  const fix = "run a time service, such as chrony or systemd-timesyncd"
  return off <= accepted ? warning(about, says, fix) : problem(about, says, fix)
}
