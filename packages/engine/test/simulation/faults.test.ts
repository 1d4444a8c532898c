/**
 * The planted faults still fit the sources that they are planted in.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { faults } from "./faults.ts"
import { patched, pathOf } from "./plant.ts"

describe("planted faults", () => {
  it("each takes away one place of one file", () => {
    for (const fault of faults) {
      const source = readFileSync(pathOf(fault), "utf8")
      assert.notStrictEqual(patched(fault, source), source, fault.name)
    }
  })

  it("are those of the page's table", () => {
    const page = readFileSync(join(import.meta.dirname, "../../../../docs/simulation-of-the-engine.md"), "utf8")
    const rows = [...page.matchAll(/^\| `([a-z-]+)` /gm)].map(([, name]) => name)
    assert.deepStrictEqual(
      rows,
      faults.map(({ name }) => name)
    )
  })

  it("no two have one name or do the same", () => {
    assert.strictEqual(new Set(faults.map(({ name }) => name)).size, faults.length)
    assert.strictEqual(new Set(faults.map(({ file, replace }) => `${file} ${replace}`)).size, faults.length)
  })
})
