import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import manifest from "../../package.json" with { type: "json" }

describe.each(Object.entries(manifest.bin))("the command %s", (_name, file) => {
  it("states the version of its package, which a release changes", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(import.meta.dirname, "../..", file),
      "--version"
    ])
    assert.include(stdout, manifest.version)
  })
})
