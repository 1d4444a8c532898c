import { join } from "node:path"
import { defineConfig } from "vitest/config"

const project = (name: string, root: string) => ({
  test: {
    name,
    root,
    include: ["test/**/*.test.ts"],
    setupFiles: [join(import.meta.dirname, "packages/testing/test/seeded.ts")],
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})

// `.ci/run` wants the counts in a file besides.
const results = process.env["TEST_RESULTS"]

export default defineConfig({
  test: {
    reporters: ["default", ...(results === undefined ? [] : [["json", { outputFile: results }] as const])],
    projects: [
      project("core", "packages/core"),
      project("platform", "packages/platform"),
      project("engine", "packages/engine"),
      project("testing", "packages/testing"),
      project("bench", "packages/bench"),
      project("examples", "examples")
    ]
  }
})
