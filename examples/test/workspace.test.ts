/**
 * The manifests of the workspace: what its root installs, and what npm shows and resolves of the published packages.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../..")

interface Manifest {
  readonly name: string
  readonly version?: string
  readonly private?: boolean
  readonly description?: string
  readonly keywords?: ReadonlyArray<string>
  readonly license?: string
  readonly author?: string
  readonly homepage?: string
  readonly bugs?: unknown
  readonly repository?: unknown
  readonly publishConfig?: { readonly access?: string }
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = (folder: string): Manifest => JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))

const folders = globSync(["packages/*", "examples"], { cwd: root })
const published = folders
  .map((folder) => ({ folder, ...manifest(folder) }))
  .filter((candidate) => candidate.private !== true)
  .toSorted((a, b) => a.name.localeCompare(b.name))

const isOnEffect3 = ({ name }: Manifest): boolean => name === "@rekindle/effect3"

describe("the workspace", () => {
  // Before a script, pnpm installs the missing dependencies of its package and of that package's workspace dependencies, and no others.
  it("depends at its root on every package, so that its scripts find them installed whatever ran before", () => {
    const packages = folders.map((folder) => manifest(folder).name)
    const found = Object.entries(manifest(".").devDependencies).filter(([, version]) => version === "workspace:*")
    assert.deepStrictEqual(found.map(([name]) => name).toSorted(), packages.toSorted())
  })

  it("releases its packages together, with one version", () => {
    const { fixed }: { readonly fixed: ReadonlyArray<ReadonlyArray<string>> } = JSON.parse(
      readFileSync(join(root, ".changeset/config.json"), "utf8")
    )
    assert.deepStrictEqual(fixed, [["@rekindle/*"]])
    assert.isTrue(published.every(({ name }) => name.startsWith("@rekindle/")))
    assert.strictEqual(new Set(published.map(({ version }) => version)).size, 1)
  })
})

describe("the publishing workflow", () => {
  it("signs what it publishes: a version without provenance is refused", () => {
    assert.match(readFileSync(join(root, "pnpm-workspace.yaml"), "utf8"), /^provenance: true$/m)
    assert.match(readFileSync(join(root, ".github/workflows/publish.yml"), "utf8"), /^ +id-token: write\b/m)
  })

  it.each(globSync([".github/workflows/*.yml", ".github/actions/*/action.yml"], { cwd: root }))(
    "%s runs no action that its owner could exchange: each is pinned by commit",
    (file) => {
      const used = Array.from(
        readFileSync(join(root, file), "utf8").matchAll(/uses: (?!\.\/)(.*)/g),
        ([, action]) => action
      )
      assert.deepStrictEqual(
        used.filter((action) => !/@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action ?? "")),
        []
      )
    }
  )
})

const url = "https://github.com/rekindle/rekindle"

/** A range, or the workspace's version, which is packed as a range. An exact version would keep a fix from every application. */
const range = /^(?:workspace:\^|[~^]\d+\.\d+\.\d+|>=\d+\.\d+\.\d+ <\d+\.\d+\.\d+)$/

describe.each(published)("the manifest of $name", ({ folder, ...found }) => {
  it("says who made it, where its source is, and where to report a bug", () => {
    assert.strictEqual(found.author, "Rekindle contributors")
    assert.strictEqual(found.license, "MIT")
    assert.strictEqual(found.homepage, `${url}/tree/main/${folder}#readme`)
    assert.deepStrictEqual(found.bugs, { url: `${url}/issues` })
    assert.deepStrictEqual(found.repository, { type: "git", url: `git+${url}.git`, directory: folder })
  })

  it("is found by its description and keywords", () => {
    assert.isAbove(found.description?.length ?? 0, 20)
    assert.includeMembers(Array.from(found.keywords ?? []), ["rekindle", "effect", "oauth"])
  })

  it("is published for everyone", () => {
    assert.strictEqual(found.publishConfig?.access, "public")
  })

  it("takes the fixes of what it depends on", () => {
    const needed = { ...found.dependencies, ...found.peerDependencies }
    assert.deepStrictEqual(
      Object.entries(needed).filter(([, version]) => !range.test(version)),
      []
    )
  })
})

const [onEffect3, onEffect4] = [published.filter(isOnEffect3), published.filter((found) => !isOnEffect3(found))]

describe.each(onEffect3)("the dependencies of $name", (found) => {
  // The Effect 4 that it builds on is inside.
  it("are Effect 3 alone", () => {
    assert.isUndefined(found.dependencies)
    assert.deepStrictEqual(found.peerDependencies, { "@effect/platform": ">=0.97.0 <1.0.0", effect: "^3.22.0" })
  })
})

describe.each(onEffect4)("the dependencies of $name", (found) => {
  // Modules that it builds on (`effect/sql`, `effect/http-api`, `RateLimiter`) are unstable, so that a minor version may change them.
  it("are no minor version or beta of Effect that its modules were not tested with", () => {
    assert.strictEqual(found.peerDependencies?.["effect"], "~4.1.0")
    for (const [name, version] of Object.entries({ ...found.dependencies, ...found.peerDependencies }))
      if (name.startsWith("@effect/")) assert.match(version, /^~4\.1\.0$|^>=4\.0\.5 <4\.2\.0$/, name)
  })
})
