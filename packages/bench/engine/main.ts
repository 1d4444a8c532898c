/**
 * Renewals per second through the whole engine, beside a bare handler that makes the same HTTP call and one UPDATE with no safety at all;
 * and the look for due accounts among a million.
 *
 * Rounds are interleaved, figures are medians, and the mark is the median of the ratios round by round: what else the machine does
 * falls on both sides of it.
 *
 * @module
 */
import { ManagedRuntime } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { PostgresAddress } from "../../engine/test/support/Place.ts"
import { Postgres } from "../../engine/test/support/Postgres.ts"
import { start } from "../child.ts"
import { atLeast, type Flags, type Report } from "../report.ts"
import { contenders, type Database, type Environment } from "./contenders.ts"
import type { DueScan } from "./dueScan.ts"
import type { Measured, Stint } from "./worker.ts"

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** How many renewals are under way at the same time. */
const crowds = [1, 50, 500]

/** The crowd that the marks are about. */
const marked = 50

/** The bare handler and the engines in turn, each in a process of its own. */
const compare = async (
  database: Database,
  environment: (name: string) => Environment,
  rounds: number,
  duration: number
) => {
  await using stack = new AsyncDisposableStack()
  const opened = await Promise.all(
    Object.keys(contenders[database]).map(async (name) => {
      const args = [database, name, JSON.stringify(environment(name))]
      const { ask } = stack.use(await start<Stint, Measured>(new URL("worker.ts", import.meta.url), args))
      return {
        name: `${name}, ${database}`,
        ask,
        rounds: new Map(crowds.map((crowd) => [crowd, new Array<Measured>()]))
      }
    })
  )
  for (let round = -1; round < rounds; round++) {
    for (const inFlight of crowds) {
      // There and back, so that nobody always follows the other's mess.
      for (const { ask, rounds } of round % 2 === 0 ? opened : opened.toReversed()) {
        // The first round only warms up, and takes long enough for the compiler to be done with a whole engine.
        const measured = await ask({ duration: round < 0 ? 8 * duration : duration, inFlight })
        if (round >= 0) rounds.get(inFlight)?.push(measured)
      }
    }
  }
  const [bare, ...engines] = opened
  /** An engine's share of what the bare handler has, round by round. */
  const ratioOf = (
    engine: (typeof opened)[number] | undefined,
    inFlight: number,
    figure: (measured: Measured) => number
  ) =>
    median(
      (bare?.rounds.get(inFlight) ?? []).map((measured, round) => {
        const other = engine?.rounds.get(inFlight)?.[round]
        return other === undefined ? Number.NaN : figure(other) / figure(measured)
      })
    )
  const perSecond = ({ perSecond }: Measured) => perSecond
  const perCore = ({ cpuMicros }: Measured) => 1e6 / cpuMicros
  return {
    ratio: ratioOf(engines[0], marked, perSecond),
    ratios: crowds.flatMap((inFlight) =>
      engines.map((engine) => ({
        name: `${engine.name} / bare handler`,
        "in flight": inFlight,
        "of renewals/s": rounded(ratioOf(engine, inFlight, perSecond)),
        "of renewals/s and core": rounded(ratioOf(engine, inFlight, perCore))
      }))
    ),
    rows: crowds.flatMap((inFlight) =>
      opened.map(({ name, rounds }) => {
        const all = rounds.get(inFlight) ?? []
        return {
          name,
          "in flight": inFlight,
          "renewals/s": Math.round(median(all.map(perSecond))),
          "renewals/s and core": Math.round(median(all.map(perCore))),
          "µs CPU": Math.round(median(all.map(({ cpuMicros }) => cpuMicros))),
          statements: rounded(median(all.map(({ statements }) => statements)))
        }
      })
    )
  }
}

const rounded = (value: number) => Math.round(value * 100) / 100

const urlOf = ({ database, host, password, port, username }: PostgresAddress): string =>
  `postgres://${username}:${password}@${host}:${port}/${database}`

const scan = async (file: string, accounts: number): Promise<DueScan> => {
  const child = fork(new URL("dueScan.ts", import.meta.url), [file, String(accounts)], { execArgv: ["--expose-gc"] })
  const [report] = await once(child, "message")
  return report
}

/** Runs the benchmark. */
export const run = async ({ quick }: Flags): Promise<Report> => {
  const rounds = quick ? 1 : 9
  const duration = quick ? 200 : 1000
  const count = quick ? 500 : 1000
  const folder = await mkdtemp(join(tmpdir(), "rekindle-bench-"))
  await using endpoint = await start<object, never, number>(new URL("tokenServer.ts", import.meta.url))
  const server = ManagedRuntime.make(Postgres.layer)
  try {
    const databases = new Map<string, string>()
    for (const name of Object.keys(contenders.Postgres)) {
      databases.set(name, urlOf(await server.runPromise(Postgres.use(({ database }) => database))))
    }
    const environment = (database: Database) => (name: string) => ({
      port: endpoint.ready,
      count,
      file: join(folder, `${database} ${name}.db`),
      postgres: databases.get(name) ?? ""
    })
    const onSqlite = await compare("SQLite", environment("SQLite"), rounds, duration)
    const onPostgres = await compare("Postgres", environment("Postgres"), rounds, duration)
    const due = await scan(join(folder, "due.db"), quick ? 10_000 : 1_000_000)
    return {
      rows: [
        ...onSqlite.rows,
        ...onPostgres.rows,
        ...onSqlite.ratios,
        ...onPostgres.ratios,
        {
          name: `due look, ${due.accounts.toLocaleString("en")} accounts, SQLite`,
          ms: rounded(due.milliseconds),
          "MB resident": due.residentMegabytes,
          "MB grown": due.growthMegabytes
        }
      ],
      marks: [
        atLeast("engine on SQLite, share of the bare handler's renewals/s", rounded(onSqlite.ratio), 0.8),
        atLeast("engine on Postgres, share of the bare handler's renewals/s", rounded(onPostgres.ratio), 1)
      ]
    }
  } finally {
    await server.dispose()
    await rm(folder, { recursive: true, force: true })
  }
}
