/**
 * The journey with a person in a real browser: it prints the address of the connect page, and goes on when it gets a line. It refreshes with curl.
 *
 * @module
 */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { journey } from "./journey.ts"

const lines = createInterface(process.stdin)

await Effect.runPromise(
  journey({
    connect: (address) =>
      Effect.promise(async () => {
        console.log(address)
        await once(lines, "line")
      }),
    post: (url, key) =>
      Effect.promise(async () => {
        const { stdout } = await promisify(execFile)("curl", ["-fsS", "-X", "POST", "-H", `x-api-key: ${key}`, url])
        return JSON.parse(stdout)
      })
  })
)
lines.close()
