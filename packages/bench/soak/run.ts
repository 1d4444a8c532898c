/**
 * `node soak/run.ts [--minutes 20] [--database postgres|sqlite] [--processes 4] [--accounts 200] [--clients 16] [--seed 1] [--json]`: the soak
 * run. Progress goes to the standard error. The exit code is 1 if something was lost, an unexpected answer came, or memory grew.
 *
 * @module
 */
import { Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { Postgres } from "../../engine/test/support/Postgres.ts"
import { markdown } from "../report.ts"
import * as Soak from "./soak.ts"

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    database: { type: "string", default: "postgres" },
    processes: { type: "string" },
    accounts: { type: "string", default: "200" },
    clients: { type: "string", default: "16" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false }
  }
})
const onSqlite = values.database === "sqlite"
const minutes = Number(values.minutes)
const processes = Number(values.processes ?? (onSqlite ? 1 : 4))
const accounts = Number(values.accounts)
const clients = Number(values.clients)
const seed = Number(values.seed)

const sqliteFile = Effect.map(
  Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-soak-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  ),
  (folder) => ({ filename: join(folder, "rekindle.db") })
)

const postgres = Effect.flatMap(Postgres, ({ database }) => database)

const isSound =
  (onSqlite ? processes === 1 : values.database === "postgres" && processes > 0) &&
  minutes > 0 &&
  [processes, accounts, clients, seed].every((number) => Number.isSafeInteger(number) && number >= 0)

if (isSound) {
  const soak = (place: Soak.Options["place"]) =>
    Soak.run({
      place,
      processes,
      seconds: minutes * 60,
      accounts,
      clients,
      seed,
      progress: (line) => console.error(line)
    })
  const report = await (
    onSqlite ? Effect.flatMap(sqliteFile, soak) : Effect.provide(Effect.flatMap(postgres, soak), Postgres.layer)
  ).pipe(Effect.scoped, Effect.runPromise)
  console.log(values.json ? JSON.stringify(report) : markdown(report))
  if (report.marks.some(({ ok }) => !ok)) process.exitCode = 1
} else {
  console.error(
    "Usage: node soak/run.ts [--minutes <number>] [--database postgres|sqlite] [--processes <number>] [--accounts <number>] [--clients <number>] [--seed <number>] [--json]\nA SQLite file is for one process."
  )
  process.exitCode = 2
}
