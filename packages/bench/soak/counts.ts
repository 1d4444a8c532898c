/**
 * Counts of a soak run: requests by route and status, with their times. The memory that they take does not grow with the run.
 *
 * @module
 */
import type { Row } from "../report.ts"

/** The times of a histogram differ by a twentieth from one step to the next, beginning with a tenth of a millisecond. */
const step = Math.log(1.05)
const shortest = 0.1

interface Route {
  readonly statuses: Map<string, number>
  /** How many answers took each step of time. */
  readonly times: Array<number>
}

const quantile = (times: ReadonlyArray<number>, share: number): number => {
  const total = times.reduce((sum, count = 0) => sum + count, 0)
  let left = total * share
  const found = times.findIndex((count = 0) => (left -= count) <= 0)
  return Number((shortest * Math.exp(Math.max(0, found) * step)).toPrecision(3))
}

/** The counts of a run. */
export const make = () => {
  const routes = new Map<string, Route>()
  const routeOf = (name: string): Route => {
    const known = routes.get(name)
    if (known !== undefined) return known
    const made: Route = { statuses: new Map(), times: [] }
    routes.set(name, made)
    return made
  }
  let requests = 0
  return {
    /** Counts an answer, or what came instead of one. */
    add: (route: string, status: string, millis: number | undefined): void => {
      requests++
      const { statuses, times } = routeOf(route)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (millis === undefined) return
      const at = Math.max(0, Math.round(Math.log(millis / shortest) / step))
      times[at] = (times[at] ?? 0) + 1
    },
    requests: (): number => requests,
    /** A row for each route. */
    rows: (): ReadonlyArray<Row> =>
      [...routes]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, { statuses, times }]) => ({
          name,
          requests: [...statuses.values()].reduce((sum, count) => sum + count, 0),
          answers: [...statuses]
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([status, count]) => `${status}: ${count}`)
            .join(", "),
          "p50 ms": quantile(times, 0.5),
          "p99 ms": quantile(times, 0.99)
        }))
  }
}
export type Counts = ReturnType<typeof make>
