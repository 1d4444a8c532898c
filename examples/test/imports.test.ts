/**
 * Imports in a wrong direction fail. The test writes one file for each forbidden and each allowed import into a copy of the workspace. Lint or
 * the compiler must refuse the forbidden ones and accept the allowed ones.
 *
 * @module
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { execute } from "./support/run.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const tool = (name: string) => join(root, "node_modules/.bin", name)

type Package = "core" | "platform" | "engine" | "testing"

const forbidden: ReadonlyArray<readonly [from: Package, specifier: string]> = [
  ["core", "@rekindle/platform"],
  ["core", "@rekindle/engine"],
  ["core", "@rekindle/testing"],
  ["core", "@effect/platform-node/NodeHttpServer"],
  ["core", "node:fs"],
  ["core", "node:fs/promises"],
  ["core", "oauth4webapi"],
  ["core", "../../engine/src/index.ts"],
  ["platform", "@rekindle/engine"],
  ["platform", "@rekindle/engine/Consent"],
  ["platform", "@rekindle/testing"],
  ["platform", "node:fs"],
  ["platform", "../../engine/src/index.ts"],
  ["engine", "@rekindle/platform"],
  ["engine", "@rekindle/testing"],
  ["engine", "@rekindle/testing/ScriptedAccounts"],
  ["engine", "../../platform/src/index.ts"],
  ["testing", "@rekindle/platform"],
  ["testing", "@rekindle/engine"],
  ["testing", "node:fs"],
  ["testing", "../../engine/src/index.ts"]
]

const allowed: ReadonlyArray<readonly [from: Package, specifier: string]> = [
  ["core", "effect"],
  ["platform", "@rekindle/core"],
  ["platform", "effect/http"],
  ["engine", "@rekindle/core"],
  ["engine", "node:crypto"],
  ["engine", "@effect/platform-node/NodeHttpClient"],
  ["testing", "@rekindle/core"],
  ["testing", "@effect/vitest"]
]

const probes = [...forbidden, ...allowed].map(([from, specifier], index) => ({
  from,
  specifier,
  file: `packages/${from}/src/Probe${index}.ts`
}))

describe("an import", () => {
  let copy: string
  /** The output of lint and the compiler, line by line. */
  let complaints: ReadonlyArray<string>

  beforeAll(async () => {
    // Outside of the workspace. Inside, an undeclared package would be found in a folder above.
    copy = mkdtempSync(join(realpathSync(tmpdir()), "rekindle-imports-"))
    for (const file of [".oxlintrc.json", "tsconfig.base.json"]) cpSync(join(root, file), join(copy, file))
    const packages = [...new Set(probes.map(({ from }) => from))]
    for (const name of packages) {
      const [from, to] = [join(root, "packages", name), join(copy, "packages", name)]
      for (const part of ["package.json", "tsconfig.json"]) cpSync(join(from, part), join(to, part))
      // `pnpm check` compiles the sources. Without them the compiler takes half the time here.
      mkdirSync(join(to, "src"))
      writeFileSync(join(to, "src/index.ts"), "export {}\n")
      symlinkSync(join(from, "node_modules"), join(to, "node_modules"))
    }
    for (const { file, specifier } of probes) {
      writeFileSync(join(copy, file), `export * as probe from ${JSON.stringify(specifier)}\n`)
    }
    const files = probes.map(({ file }) => join(copy, file))
    const lint = execute(
      tool("oxlint"),
      "--config",
      join(copy, ".oxlintrc.json"),
      "--no-ignore",
      "--format=unix",
      ...files
    )
    const compile = packages.map((name) =>
      execute(tool("tsc"), "-p", join(copy, "packages", name), "--noEmit", "--pretty", "false")
    )
    const outputs = await Promise.all([lint, ...compile])
    complaints = outputs.flatMap(({ stderr, stdout }) => `${stdout}\n${stderr}`.split("\n"))
  })
  afterAll(() => rmSync(copy, { recursive: true, force: true }))

  /** The output about one probe. */
  const about = (from: Package, specifier: string) => {
    const file = probes.find((probe) => probe.from === from && probe.specifier === specifier)?.file ?? "no such probe"
    return complaints.filter((line) => line.includes(file))
  }

  it.each(forbidden)("from %s of %s is refused", (from, specifier) => {
    assert.isNotEmpty(about(from, specifier))
    assert.match(about(from, specifier).join("\n"), /no-restricted-imports|TS2307|TS6059|TS6307/)
  })
  it.each(allowed)("from %s of %s is accepted", (from, specifier) => {
    assert.deepStrictEqual(about(from, specifier), [])
  })
})
