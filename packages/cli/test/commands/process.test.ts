/** How a command ends that is a process: interrupted, and with nobody who reads its output. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import * as HttpFixture from "../../../engine/test/support/HttpFixture.ts"
import { fromSources } from "../support/serveProcess.ts"

const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const [program, ...before] = fromSources.command
  const child = spawn(program, [...before, ...args], {
    env: { ...fromSources.env, ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const ended = Promise.all([once(child, "exit"), text(child.stderr)])
  return {
    child,
    ended: Effect.promise(async () => {
      const [[code], stderr] = await ended
      return { code, stderr }
    })
  }
}

/** A server with a new event for everybody who asks for events. To any other request it never answers. */
const server = Effect.gen(function* () {
  const waiting = Promise.withResolvers<void>()
  let sequence = 0
  const { origin } = yield* HttpFixture.make(({ path }, response) => {
    if (!path.includes("/events")) return waiting.resolve()
    sequence++
    const event = {
      sequence,
      connected_account_id: "ca_12345678",
      type: "renewed",
      status: "ACTIVE",
      status_reason: null,
      at: "2026-11-27T00:00:00.000Z"
    }
    response.end(JSON.stringify({ items: [event] }))
  })
  return { env: { REKINDLE_BASE_URL: origin, REKINDLE_API_KEY: "a-key" }, origin, waiting: waiting.promise }
})

it.live("a command that is interrupted ends with 130, and one whose reader is gone ends with 0 and no word", () =>
  Effect.gen(function* () {
    const { env, origin, waiting } = yield* server
    const interrupted = start(["login", origin], env)
    const unread = start(["events", "tail"], env)
    yield* Effect.promise(() => once(unread.child.stdout, "data"))
    unread.child.stdout.destroy()
    assert.deepEqual(yield* unread.ended, { code: 0, stderr: "" })
    yield* Effect.promise(() => waiting)
    interrupted.child.kill("SIGINT")
    assert.deepEqual(yield* interrupted.ended, { code: 130, stderr: "" })
  })
)
