import { defineConfig } from "vitest/config"

const project = (name: string, root: string) => ({
  test: { name, root, include: ["test/**/*.test.ts"], testTimeout: 30_000, hookTimeout: 60_000 }
})

export default defineConfig({
  test: {
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
