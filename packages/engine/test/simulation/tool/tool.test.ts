/**
 * The tool runs worlds in processes of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runMany } from "./many.ts"
import { searchFaults } from "./search.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rekindle-simulate-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

describe("pnpm simulate", () => {
  it.live("runs seeds once, and goes on where an earlier run was", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const run = (seeds: number) => runMany({ from: 10, seeds, jobs: 1, folder, onPart: () => {} })
      const first = yield* run(2)
      assert.deepStrictEqual([first.ran, first.done, first.total], [2, 2, 2])
      assert.isAbove(first.steps, 0)
      const second = yield* run(5)
      assert.deepStrictEqual([second.ran, second.done, second.total], [3, 5, 5])
      assert.deepStrictEqual(second.failed, [])
      assert.strictEqual((yield* run(5)).ran, 0)
    }).pipe(Effect.scoped)
  )

  it.live("says at once if the progress cannot be kept, before a world has been run in vain", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "file")
      writeFileSync(folder, "")
      const onPart = () => assert.fail("a part was run")
      const error = yield* Effect.flip(runMany({ from: 0, seeds: 2, jobs: 1, folder, onPart }))
      assert.strictEqual(error._tag, "NotKept")
      assert.include(error.message, folder)
    }).pipe(Effect.scoped)
  )

  it("refuses flags of which one would do nothing", () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "main.ts"), "--seed", "1", "--seeds", "5"],
      { encoding: "utf8" }
    )
    assert.deepStrictEqual([status, stderr], [2, "--seeds does nothing together with --seed\n"])
  })

  it.live("finds a planted fault in a process that has it, and says what was wrong", () =>
    Effect.gen(function* () {
      const [searched, ...others] = yield* searchFaults({
        names: ["secret-in-log"],
        from: 0,
        atMost: 200,
        jobs: 1,
        onFault: () => {}
      })
      assert.deepStrictEqual(others, [])
      assert.strictEqual(searched?.found?.name, "invariant: no secret in anything logged")
    })
  )
})
