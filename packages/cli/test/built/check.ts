/**
 * Tries a built command where nothing else is: in an empty directory, with an empty environment and nothing on the PATH.
 *
 * `node check.ts <program> [argument…]`: `.binary/rekindle`, or Node and `dist/bin.cjs`. `pnpm build:binary` and `pnpm check:packages` run it.
 *
 * @module
 */
import { Effect } from "effect"
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { version } from "#cli/version.ts"
import { serve } from "../support/serveProcess.ts"

const [program = "", ...rest] = process.argv.slice(2).map((path) => resolve(path))
const home = mkdtempSync(join(tmpdir(), "rekindle-built-"))
const run = (...args: ReadonlyArray<string>) =>
  execFileSync(program, [...rest, ...args], { cwd: home, env: {}, encoding: "utf8" })

const ask = (url: string, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { headers })
    return { status: response.status, text: await response.text() }
  })

try {
  assert.equal(run("--version").trim(), `rekindle v${version}`)
  assert.match(run("init"), /rekindle serve/)
  await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* serve({}, [], { command: [program, ...rest], cwd: home, env: {} })
        assert.equal((yield* ask(`${server.url}/readyz`)).status, 200)
        assert.match((yield* ask(`${server.url}/metrics`)).text, /rekindle_/)
        // The page is in a chunk of its own.
        assert.match((yield* ask(`${server.url}/docs`)).text, /<html/)
        const accounts = yield* ask(`${server.url}/api/v3/connected_accounts`, { "x-api-key": server.adminKey() })
        assert.deepEqual(JSON.parse(accounts.text).items, [])
        server.signal("SIGTERM")
        assert.equal(yield* server.ended, 0)
      })
    )
  )
  console.log(`${[program, ...rest].join(" ")} serves with nothing else around it`)
} finally {
  rmSync(home, { recursive: true, force: true })
}
