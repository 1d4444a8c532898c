/**
 * How many accounts one core keeps alive: a million overdue accounts on Postgres, renewed at full speed. And what happens to callers and to
 * the accounts of other providers when something grows out of proportion.
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
import { atLeast, atMost, type Flags, type Report } from "../report.ts"
import type { Place } from "./ground.ts"
import type { MeasuredBy, Scenarios } from "./scenarios.ts"

const urlOf = ({ database, host, password, port, username }: PostgresAddress): string =>
  `postgres://${username}:${password}@${host}:${port}/${database}`

const rounded = (value: number, digits = 2) => Number(value.toFixed(digits))

const megabytes = (bytes: number) => rounded(bytes / 1024 / 1024)

/** Plays scenarios, each in a process and a database of its own. */
type Play = <Name extends keyof Scenarios>(name: Name, perSecond?: number) => Promise<MeasuredBy<Name>>

const play = async (scenario: string, place: Place) => {
  const child = fork(new URL("worker.ts", import.meta.url), [scenario, JSON.stringify(place)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    execArgv: ["--expose-gc"]
  })
  const ended = once(child, "exit")
  const [message] = await Promise.race([
    once(child, "message"),
    ended.then(([code]) => Promise.reject(new Error(`the scenario ${scenario} ended with ${code}`)))
  ])
  await ended
  return message
}

const capacity = async (play: Play): Promise<Report> => {
  const overdue = await play("overdue")
  const onTime = await play("onTime", overdue.perSecond)
  const perCore = 1e6 / overdue.cpuMicros
  const perCoreAlive = Math.floor(perCore * overdue.secondsBetween)
  const wanted = overdue.accounts / overdue.secondsBetween
  const accounts = overdue.accounts.toLocaleString("en")
  return {
    rows: [
      {
        name: `${accounts} hourly accounts, all overdue, Postgres`,
        "s to fill": rounded(overdue.fillSeconds, 0),
        "renewals/s": rounded(overdue.perSecond, 0),
        "µs CPU": rounded(overdue.cpuMicros, 0),
        "cores used": rounded(overdue.cores),
        "s between renewals": rounded(overdue.secondsBetween, 0),
        "MB resident": rounded(overdue.residentMegabytes, 0)
      },
      {
        name: "accounts that one process keeps alive",
        "with one core": perCoreAlive,
        "as measured": Math.floor(overdue.perSecond * overdue.secondsBetween)
      },
      {
        name: "how far the renewer falls behind",
        "accounts due/s": rounded(wanted, 0),
        "s behind after an hour": rounded(Math.max(0, 1 - overdue.perSecond / wanted) * 3_600, 0)
      },
      {
        name: "accounts that come due at 0.8 of that speed",
        "renewals/s": rounded(onTime.perSecond, 0),
        "ms late": rounded(onTime.lag, 0)
      }
    ],
    marks: [atLeast("accounts with hourly tokens that one core keeps alive", perCoreAlive, 1_000_000)]
  }
}

const cliffs = async (play: Play): Promise<Report> => {
  const few = await play("few")
  const fewBesideHerd = await play("fewBesideHerd")
  const defaultPoll = await play("defaultPoll")
  const shortPoll = await play("shortPoll")
  const besideAbandoned = await play("besideAbandoned")
  const withoutJournal = await play("withoutJournal")
  const besideJournal = await play("besideJournal")
  const alone = await play("tokensAlone")
  const beside = await play("tokensBesideRenewer")
  const keys = await play("besideOldKeys")
  const growth = await play("growth")
  return {
    rows: [
      {
        name: "share of 1,000 overdue accounts renewed in 12 s",
        alone: rounded(few),
        "beside 100,000 of another provider": rounded(fewBesideHerd)
      },
      {
        name: "renewals/s of 40,000 overdue accounts, default concurrency",
        "poll every 5 s": rounded(defaultPoll, 0),
        "poll every 100 ms": rounded(shortPoll, 0)
      },
      {
        name: "share of 2,000 overdue accounts renewed in 15 s",
        "beside 2,000 abandoned renewals": rounded(besideAbandoned)
      },
      {
        name: "refreshes/s at 50 in flight",
        "journal empty": rounded(withoutJournal, 0),
        "10,000 records that do not settle": rounded(besideJournal, 0)
      },
      { name: "accessToken, ten callers", "ms p50": rounded(alone.p50), "ms p99": rounded(alone.p99) },
      {
        name: "accessToken, ten callers, beside 64 renewals at a time",
        "ms p50": rounded(beside.p50),
        "ms p99": rounded(beside.p99)
      },
      {
        name: "5,000 refreshes under keys while 200,000 old keys are swept",
        deadlocks: keys.deadlocks,
        failed: keys.failed,
        "ms the longest": rounded(keys.longest, 0)
      },
      {
        name: `1,000 accounts after ${growth.renewals.toLocaleString("en")} renewals`,
        "MB table before": megabytes(growth.tableBefore),
        "MB table": megabytes(growth.tableAfter),
        "MB indexes before": megabytes(growth.indexesBefore),
        "MB indexes": megabytes(growth.indexesAfter),
        "share of HOT updates": rounded(growth.hotShare)
      }
    ],
    marks: [
      atLeast(
        "a herd of another provider: share renewed, of what is renewed without it",
        rounded(fewBesideHerd / few),
        0.9
      ),
      atLeast(
        "after a full catch: renewals/s with the default poll, of those with a short one",
        rounded(defaultPoll / shortPoll),
        0.8
      ),
      atLeast("abandoned renewals: share of healthy accounts renewed", rounded(besideAbandoned), 0.9),
      atLeast("a journal that does not settle: share of refreshes/s", rounded(besideJournal / withoutJournal), 0.9),
      atMost("accessToken beside the renewer: ms p99", rounded(beside.p99), 100),
      atMost("old keys beside refreshes under keys: deadlocks and failed calls", keys.deadlocks + keys.failed, 0)
    ]
  }
}

/** Runs the benchmark. */
export const run = async ({ quick }: Flags): Promise<Report> => {
  const folder = await mkdtemp(join(tmpdir(), "rekindle-scale-"))
  await using endpoint = await start<object, never, number>(new URL("../engine/tokenServer.ts", import.meta.url))
  const server = ManagedRuntime.make(Postgres.layer)
  try {
    const onFreshGround: Play = async (name, perSecond = 0) => {
      const postgres = urlOf(await server.runPromise(Postgres.use(({ database }) => database)))
      const own = await mkdtemp(join(folder, `${name}-`))
      return play(name, { postgres, port: endpoint.ready, folder: own, quick, perSecond })
    }
    const parts = [await capacity(onFreshGround), await cliffs(onFreshGround)]
    return { rows: parts.flatMap(({ rows }) => rows), marks: parts.flatMap(({ marks }) => marks) }
  } finally {
    await server.dispose()
    await rm(folder, { recursive: true, force: true })
  }
}
