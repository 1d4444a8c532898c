/** A process that is killed between a delivery and its mark. */
import { assert, it } from "@effect/vitest"
import { CredentialVault, SqliteClient } from "@rekindle/engine"
import { Clock, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { serve } from "../support/serveProcess.ts"
import * as Receiver from "./Receiver.ts"
import { connected, happen, processOn, subscribe, until } from "./service.ts"

const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

it.effect("kill -9 between a delivery and its mark leads to a repeat with the same id, and to nothing else", () =>
  Effect.gen(function* () {
    // The other process has the clock of the machine.
    yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-killed-"))),
      (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
    )
    const file = join(directory, "rekindle.db")
    let kill = () => {}
    const receiver = yield* Receiver.make((_, index) => {
      if (index !== 1) return 204
      // The second delivery has arrived, and the process never learns what becomes of it.
      kill()
      return () => {}
    })
    // It looks for events every year only: what is sent now is sent by the other process.
    const idle = yield* Layer.build(
      processOn(SqliteClient.layer(file), { privateHosts: ["*"], pollInterval: "365 days" }).pipe(
        Layer.provideMerge(CredentialVault.layer([{ id: "k1", key: Redacted.make(key) }])),
        Layer.orDie
      )
    )
    const id = yield* Effect.gen(function* () {
      yield* subscribe(receiver.url)
      const id = yield* connected
      yield* happen(id, "renewed", "renewed", "expired")
      return id
    }).pipe(Effect.provideContext(idle))
    const child = yield* serve({
      HOME: directory,
      REKINDLE_DATABASE: file,
      REKINDLE_KEYS: `k1:${key}`,
      REKINDLE_API_KEY: "key",
      REKINDLE_WEBHOOK_PRIVATE_HOSTS: "*"
    })
    kill = () => child.signal("SIGKILL")
    assert.strictEqual(yield* child.ended, "SIGKILL")
    assert.lengthOf(receiver.received, 2)

    const successor = processOn(SqliteClient.layer(file)).pipe(
      Layer.provideMerge(CredentialVault.layer([{ id: "k1", key: Redacted.make(key) }])),
      Layer.orDie
    )
    yield* until(Effect.sync(() => receiver.received.length === 4)).pipe(Effect.provide(Layer.fresh(successor)))
    const ids = receiver.received.map(({ id }) => id)
    assert.strictEqual(ids[2], ids[1])
    assert.strictEqual(receiver.received[2]?.body, receiver.received[1]?.body)
    assert.strictEqual(new Set(ids).size, 3)
    assert.include(receiver.received[3]?.body, id)
    assert.include(receiver.received[3]?.body, "composio.connected_account.expired")
  })
)
