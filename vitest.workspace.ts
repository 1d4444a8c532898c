import { tmpdir } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** The files that take longest. They begin first, so that no worker is left with one of them while the other has nothing to do. */
const longest = [
  "engine/test/chaos/chaos.test.ts",
  "engine/test/store/postgres.test.ts",
  "engine/test/simulation/worlds.test.ts",
  "engine/test/renewal/outage.test.ts",
  "engine/test/simulation/tool/tool.test.ts",
  "examples/test/snippets.test.ts",
  "examples/test/tour.test.ts",
  "cli/test/store/postgres.test.ts",
  "cli/test/server/processes.test.ts",
  "platform/test/documents.test.ts"
]

/** Vitest sorts by the durations of earlier runs, which a fresh clone does not have, and then by size. Files of a project stay together. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const rankOf = ({ moduleId }: TestSpecification) => {
      const rank = longest.findIndex((name) => moduleId.endsWith(name))
      return rank === -1 ? longest.length : rank
    }
    const ranks = new Map<string, number>()
    for (const file of sorted) {
      const { name } = file.project
      ranks.set(name, Math.min(ranks.get(name) ?? longest.length, rankOf(file)))
    }
    const projectOf = ({ project: { name } }: TestSpecification) => ranks.get(name) ?? longest.length
    return sorted.toSorted(
      (a, b) => projectOf(a) - projectOf(b) || (a.project === b.project ? rankOf(a) - rankOf(b) : 0)
    )
  }
}

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
    sequence: { sequencer: LongestFirst },
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
