import { tmpdir } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"

const project = (name: string, root: string) => ({
  test: {
    name,
    root,
    include: ["test/**/*.test.ts"],
    setupFiles: ["testing/test/seeded.ts", "platform/test/published/held.ts"].map((file) =>
      join(import.meta.dirname, "packages", file)
    ),
    // Tests share the process of their worker: most of a short file was spent on loading the same modules again.
    isolate: false,
    // Of the processes that tests start. Stripped and compiled sources are kept from one to the next: most of a short run is spent on them.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), "rekindle-compile-cache") },
    // A limit tells that a test hangs, not that the machine is slow.
    testTimeout: 180_000,
    hookTimeout: 180_000
  }
})

// `.ci/run` wants the counts in a file besides.
const results = process.env["TEST_RESULTS"]

export default defineConfig({
  test: {
    // By default one core is left to the editor, which on two cores is half of the machine.
    maxWorkers: "100%",
    reporters: ["default", ...(results === undefined ? [] : [["json", { outputFile: results }] as const])],
    projects: [
      project("core", "packages/core"),
      project("platform", "packages/platform"),
      project("engine", "packages/engine"),
      project("testing", "packages/testing"),
      project("cli", "packages/cli"),
      project("effect3", "packages/effect3"),
      project("bench", "packages/bench"),
      project("examples", "examples")
    ]
  }
})
