/**
 * Sets of seeds, as sorted ranges that do not touch.
 *
 * @module
 */

/** The seeds from `from` up to, and not including, `end`. */
export type Range = readonly [from: number, end: number]

/** The set with one more range. */
export const add = (ranges: ReadonlyArray<Range>, added: Range): ReadonlyArray<Range> => {
  let [from, end] = added
  const apart = ranges.filter(([otherFrom, otherEnd]) => {
    if (otherEnd < from || otherFrom > end) return true
    from = Math.min(from, otherFrom)
    end = Math.max(end, otherEnd)
    return false
  })
  return [...apart, [from, end] as const].sort(([one], [other]) => one - other)
}

/** The parts of a range that are not in the set. */
export const missing = (ranges: ReadonlyArray<Range>, [from, end]: Range): ReadonlyArray<Range> => {
  const found: Array<Range> = []
  let next = from
  for (const [otherFrom, otherEnd] of ranges) {
    if (otherEnd <= next) continue
    if (otherFrom >= end) break
    if (otherFrom > next) found.push([next, otherFrom])
    next = otherEnd
  }
  if (next < end) found.push([next, end])
  return found
}

/** How many seeds are in the set. */
export const count = (ranges: ReadonlyArray<Range>): number => ranges.reduce((sum, [from, end]) => sum + end - from, 0)

/** The set in ranges of at most `size` seeds. */
export const parts = (ranges: ReadonlyArray<Range>, size: number): ReadonlyArray<Range> =>
  ranges.flatMap(([from, end]) =>
    Array.from({ length: Math.ceil((end - from) / size) }, (_, index): Range => {
      const start = from + index * size
      return [start, Math.min(start + size, end)]
    })
  )
