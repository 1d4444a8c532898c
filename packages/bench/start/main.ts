/**
 * The start of `rekindle serve`: the built command on a new SQLite file, and bare Node, in turn.
 *
 * `listens` is when the first request is answered, and `ready` when `/readyz` answers 200: the database is made and migrated, and the engine
 * runs. Each start makes a database of its own. Node's cache of compiled code is filled by the first start, which does not count.
 *
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { get } from "node:http"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { atMost, type Flags, type Report } from "../report.ts"

const cli = join(import.meta.dirname, "../../cli")
const bin = join(cli, "dist/bin.cjs")

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const status = (port: number, path: string) =>
  new Promise<number>((resolve) => {
    get({ host: "127.0.0.1", port, path }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    }).on("error", () => resolve(0))
  })

const end = async (child: ChildProcess, signal: "SIGTERM" | "SIGKILL") => {
  child.kill(signal)
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
}

/** Milliseconds until Node runs a program. */
const bare = async (): Promise<number> => {
  const began = performance.now()
  const child = spawn(process.execPath, ["-e", "process.stdout.write('.'); setInterval(() => {}, 1000)"], {
    stdio: ["ignore", "pipe", "ignore"]
  })
  await once(child.stdout, "data")
  const took = performance.now() - began
  await end(child, "SIGKILL")
  return took
}

/** Milliseconds until the server answers, and until it is ready. */
const start = async (home: string, signal: "SIGTERM" | "SIGKILL") => {
  const directory = mkdtempSync(join(home, "start-"))
  const port = await freePort()
  const began = performance.now()
  const child = spawn(process.execPath, [bin, "serve", "--port", String(port)], {
    cwd: directory,
    stdio: "ignore",
    env: { NODE_COMPILE_CACHE: join(home, "cache") }
  })
  const until = async (path: string) => {
    while ((await status(port, path)) !== 200) {
      if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}`)
    }
    return performance.now() - began
  }
  const listens = await until("/healthz")
  const ready = await until("/readyz")
  await end(child, signal)
  return { listens, ready }
}

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Runs the benchmark. */
export const run = async ({ quick }: Flags): Promise<Report> => {
  execFileSync(process.execPath, [join(cli, "build.ts")], { stdio: ["ignore", "ignore", "inherit"] })
  const home = mkdtempSync(join(tmpdir(), "rekindle-start-"))
  try {
    // Node writes the cache when a process ends by itself.
    await start(home, "SIGTERM")
    const rounds: Array<{ bare: number; listens: number; ready: number }> = []
    for (let round = 0; round < (quick ? 1 : 15); round++)
      rounds.push({ bare: await bare(), ...(await start(home, "SIGKILL")) })
    const row = (name: string, of: (round: (typeof rounds)[number]) => number) => ({
      name,
      ms: Math.round(median(rounds.map(of))),
      "ms over bare node": Math.round(median(rounds.map((round) => of(round) - round.bare))),
      "times bare node": Number(median(rounds.map((round) => of(round) / round.bare)).toFixed(1))
    })
    const rows = [
      row("bare node", (round) => round.bare),
      row("serve listens", (round) => round.listens),
      row("serve is ready", (round) => round.ready)
    ]
    return { rows, marks: [atMost("listens, ms over bare node", rows[1]?.["ms over bare node"] ?? Infinity, 300)] }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}
