import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../..")

const manifest = (
  folder: string
): { readonly name: string; readonly devDependencies: Readonly<Record<string, string>> } =>
  JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))

describe("the workspace", () => {
  // Before a script, pnpm installs the missing dependencies of its package and of that package's workspace dependencies, and no others.
  it("depends at its root on every package, so that its scripts find them installed whatever ran before", () => {
    const packages = globSync(["packages/*", "examples"], { cwd: root }).map((folder) => manifest(folder).name)
    const found = Object.entries(manifest(".").devDependencies).filter(([, version]) => version === "workspace:*")
    assert.deepStrictEqual(found.map(([name]) => name).toSorted(), packages.toSorted())
  })
})
