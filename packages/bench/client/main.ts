/**
 * `refresh` through nine clients, at 1, 50 and 500 in flight, against one server; the time that a crowd for one account adds to one call;
 * and the size of the client for a browser.
 *
 * The server and each client have a process of their own. Rounds are interleaved and figures are medians. Marks are medians of the ratios of
 * each round, so that other load on the machine affects both sides of a ratio.
 *
 * @module
 */
import { type Child, start } from "../child.ts"
import { atLeast, atMost, type Flags, type Report } from "../report.ts"
import { bundle } from "./bundle.ts"
import { type ClientName, clients } from "./clients.ts"
import type { Crowd } from "./crowd.ts"
import type { Measured, Stint } from "./worker.ts"

/** Bytes, minified and gzipped: the size when it was last set, and 5 % on top. */
const bundleBudget = 192_000

const crowdSize = 10_000

/** Milliseconds the server takes to answer a crowd: long enough for all of it to have arrived by then. */
const delay = 400

interface Server extends Child<{ readonly delay: number }, { readonly served: number }> {
  readonly url: string
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits))

const refreshes = async (server: Server, quick: boolean): Promise<Report> => {
  // Many short stints rather than a few long ones: stints that follow each other meet the same load.
  const rounds = quick ? 1 : 21
  const duration = quick ? 30 : 120
  const warmUp = (round: number) => (quick ? 30 : round === 0 ? 700 : 40)

  await using stack = new AsyncDisposableStack()
  const workers = await Promise.all(
    (Object.keys(clients) as Array<ClientName>).map(async (name) => {
      const worker = stack.use(await start<Stint, Measured>(new URL("worker.ts", import.meta.url), [name, server.url]))
      return { name, ask: worker.ask }
    })
  )
  await server.ask({ delay: 0 })
  let sent = 0
  const levels = [1, 50, 500].map((inFlight) =>
    workers.map(({ ask, name }) => ({ name, inFlight, ask, stints: new Array<Measured>() }))
  )
  for (const level of levels) {
    for (let round = 0; round < rounds; round++) {
      // Every other round in reverse, so that no client always follows the same one.
      for (const { ask, inFlight, stints } of round % 2 === 0 ? level : level.toReversed()) {
        const stint = await ask({ inFlight, warmUp: warmUp(round), duration })
        sent += stint.sent
        stints.push(stint)
      }
    }
  }
  const cells = levels.flat()
  const { served } = await server.ask({ delay: 0 })
  if (served < sent) throw new Error(`${sent} calls, but only ${served} requests: somebody answers without asking`)

  const perSecond = (name: ClientName): ReadonlyArray<number> =>
    cells
      .filter((cell) => cell.name === name && cell.inFlight === 50)
      .flatMap(({ stints }) => stints.map((stint) => stint.perSecond))
  const ours = perSecond("rekindle, Resilience.standard")
  const toTheir = (name: ClientName) =>
    rounded(median(perSecond(name).map((theirs, round) => (ours[round] ?? Number.NaN) / theirs)))
  return {
    rows: cells.map(({ inFlight, name, stints }) => ({
      name,
      "in flight": inFlight,
      "calls/s": Math.round(median(stints.map(({ perSecond }) => perSecond))),
      "µs CPU per call": rounded(median(stints.map(({ cpuMicros }) => cpuMicros)), 1)
    })),
    marks: [
      atLeast("throughput at 50 in flight: Resilience.standard / undici", toTheir("undici, JSON.parse"), 0.9),
      atLeast("throughput at 50 in flight: Resilience.standard / @composio/client", toTheir("@composio/client"), 4)
    ]
  }
}

/** What a crowd adds to one call: the time between the one caller's answer and the last one's. */
const crowd = async (pipeline: "coalesce" | "standard", server: Server, quick: boolean) => {
  // Quick answers while the worker warms up.
  await server.ask({ delay: 50 })
  await using worker = await start<Crowd, number>(new URL("crowd.ts", import.meta.url), [pipeline, server.url])
  for (let round = 0; round < (quick ? 0 : 10); round++) await worker.ask({ callers: crowdSize })
  const added: Array<number> = []
  let sends = 0
  for (let round = 0; round < (quick ? 1 : 9); round++) {
    await server.ask({ delay })
    const alone = await worker.ask({ callers: 1 })
    await server.ask({ delay })
    const together = await worker.ask({ callers: crowdSize })
    sends = Math.max(sends, (await server.ask({ delay })).served)
    added.push(together - alone)
  }
  return { added: rounded(median(added)), sends }
}

const crowds = async (server: Server, quick: boolean): Promise<Report> => {
  const coalesce = await crowd("coalesce", server, quick)
  const standard = await crowd("standard", server, quick)
  const name = `${crowdSize.toLocaleString("en")} concurrent calls for one account`
  return {
    rows: [
      { name: `${name}, Resilience.coalesce`, sends: coalesce.sends, "ms added to one call": coalesce.added },
      { name: `${name}, Resilience.standard`, sends: standard.sends, "ms added to one call": standard.added }
    ],
    marks: [
      atMost(`${name}: sends`, Math.max(coalesce.sends, standard.sends), 1),
      atMost(`${name}: ms that coalescing adds to one call`, coalesce.added, 20)
    ]
  }
}

const weight = async (): Promise<Report> => {
  const { gzipped, minified } = await bundle()
  return {
    rows: [{ name: "core, platform client and effect", "bytes minified": minified, "bytes gzipped": gzipped }],
    marks: [atMost("bytes of the bundle, minified and gzipped", gzipped, bundleBudget)]
  }
}

export const run = async ({ quick }: Flags): Promise<Report> => {
  await using child = await start<{ delay: number }, { served: number }, { port: number }>(
    new URL("server.ts", import.meta.url)
  )
  const server: Server = { ...child, url: `http://127.0.0.1:${child.ready.port}` }
  const parts = [await refreshes(server, quick), await crowds(server, quick), await weight()]
  return { rows: parts.flatMap(({ rows }) => rows), marks: parts.flatMap(({ marks }) => marks) }
}
