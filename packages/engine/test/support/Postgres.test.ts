import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, rm, stat } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { vi } from "vitest"
import { clientOf } from "./Place.ts"
import { Postgres } from "./Postgres.ts"

/** A directory that no other user may enter. */
const closedFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "rekindle-closed-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)

const answers = async (port: number): Promise<boolean> => {
  const socket = connect(port, "127.0.0.1")
  const answered = await once(socket, "connect").then(
    () => true,
    () => false
  )
  socket.destroy()
  return answered
}

describe("the Postgres of the tests", () => {
  it.live("runs from files that its user can reach, wherever the clone lies", () =>
    Effect.gen(function* () {
      const place = yield* Effect.flatMap(Postgres, ({ database }) => database)
      const [row] = yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) =>
          sql`SELECT setting AS bin, current_setting('data_directory') AS data FROM pg_config WHERE name = 'BINDIR'`
      ).pipe(Effect.provide(clientOf(place)))
      const bin = String(row?.["bin"])
      const data = String(row?.["data"])
      const { uid } = yield* Effect.promise(() => stat(data))
      assert.notStrictEqual(uid, 0)
      assert.isTrue(uid === process.getuid?.() || bin.startsWith(dirname(data)), bin)
    }).pipe(Effect.provide(Postgres.layer))
  )

  it.live("says at once that its user cannot enter the folder of its data", () =>
    Effect.gen(function* () {
      vi.stubEnv("TMPDIR", yield* closedFolder)
      const outcome = yield* Effect.sandbox(Effect.scoped(Layer.build(Postgres.layer))).pipe(
        Effect.match({ onFailure: String, onSuccess: () => "started" }),
        Effect.ensuring(Effect.sync(() => vi.unstubAllEnvs()))
      )
      assert.match(outcome, process.getuid?.() === 0 ? /TMPDIR/ : /^started$/)
    })
  )

  it.live("is gone when the process that started it was killed", () =>
    Effect.gen(function* () {
      const folder = yield* closedFolder
      yield* Effect.promise(async () => {
        await chmod(folder, 0o755)
        const holder = spawn(process.execPath, [join(import.meta.dirname, "postgresHolder.ts")], {
          env: { ...process.env, TMPDIR: folder },
          stdio: ["ignore", "pipe", "inherit"]
        })
        const [port] = await once(holder.stdout, "data")
        assert.isTrue(await answers(Number(port)))
        holder.kill("SIGKILL")
        while (await answers(Number(port))) await new Promise((resolve) => setTimeout(resolve, 20))
      })
    })
  )
})
