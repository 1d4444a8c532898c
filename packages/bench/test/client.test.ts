/** The benchmark runs, and its report has every row and mark. The numbers depend on the machine, so none is checked. */
import { assert, describe, it } from "vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Report } from "../report.ts"

const main = join(import.meta.dirname, "../main.ts")

describe("bench client --quick --json", () => {
  it("prints one object with a row for each client at each level, and the marks", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [main, "client", "--quick", "--json"])
    const { marks, rows }: Report = JSON.parse(stdout)
    const clients = [
      "undici, JSON.parse",
      "rekindle, bare",
      "rekindle, Resilience.standard",
      "@composio/client",
      "fetch",
      "cockatiel around fetch",
      "ky",
      "got",
      "axios, axios-retry"
    ]
    const calls = rows.filter((row) => "in flight" in row)
    assert.deepStrictEqual(
      calls.map((row) => [row.name, row["in flight"]]),
      [1, 50, 500].flatMap((inFlight) => clients.map((name) => [name, inFlight]))
    )
    for (const row of calls) assert.isAbove(Number(row["calls/s"]), 0)
    assert.strictEqual(rows.length, calls.length + 3)
    assert.strictEqual(marks.length, 5)
    for (const mark of marks) {
      assert.hasAllKeys(mark, ["name", "value", "mark", "ok"])
      assert.isTrue(Number.isFinite(mark.value), mark.name)
    }
  })
})
