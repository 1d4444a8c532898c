/**
 * Opens one database in several processes at the same time.
 *
 * @module
 */
import { Effect } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Place } from "../support/Place.ts"

const script = fileURLToPath(new URL("./migrator.ts", import.meta.url))

/** The exit codes of `count` processes, each of which built a store on the database. */
export const migrateInProcesses = (count: number, place: Place): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.promise(() =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const child = fork(script, [JSON.stringify(place)], {
          execArgv: [],
          stdio: ["ignore", "ignore", "inherit", "ipc"]
        })
        const [code] = await once(child, "exit")
        return code
      })
    )
  )
