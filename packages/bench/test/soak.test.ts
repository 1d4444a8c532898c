/** A soak run of seconds works, with its SIGTERM and its `kill -9`. The long one is `pnpm soak`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Soak from "../soak/soak.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-soak-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

describe("soak", () => {
  it.live("keeps every promise in a run of seconds", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const { marks, rows } = yield* Soak.run({
        place: { filename: join(yield* folder, "rekindle.db") },
        processes: 1,
        seconds: 2,
        accounts: 12,
        clients: 4,
        seed: 1,
        progress: (line) => said.push(line)
      })
      assert.deepStrictEqual(
        marks.filter(({ ok }) => !ok),
        [],
        said.join("\n")
      )
      const totals = rows.at(-1)
      assert.isAtLeast(Number(totals?.["renewals"]), 12)
      assert.isAtLeast(Number(totals?.["webhooks"]), Number(totals?.["renewals"]))
      // The first start, the one after SIGTERM, and the one after `kill -9`.
      assert.lengthOf(
        rows.filter(({ name }) => name.startsWith("serve ")),
        3
      )
    }).pipe(Effect.scoped)
  )
})
