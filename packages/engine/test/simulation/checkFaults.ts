/**
 * `node checkFaults.ts [name...]`: type-checks each planted fault, in a copy of its package. A fault that does not type-check would be found
 * by the compiler and shows nothing. It is not in the suite, because it compiles the engine once for each fault.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { faults } from "./faults.ts"
import { patched, pathOf } from "./plant.ts"

const packages = join(import.meta.dirname, "../../..")
const asked = process.argv.slice(2)

for (const fault of faults.filter(({ name }) => asked.length === 0 || asked.includes(name))) {
  const [owner = "", source = "", ...rest] = fault.file.split("/")
  // Below the package, so that its dependencies are found.
  const copy = join(packages, owner, ".tsbuild/fault")
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  cpSync(join(packages, owner, source), join(copy, source), { recursive: true })
  writeFileSync(join(copy, source, ...rest), patched(fault, readFileSync(pathOf(fault), "utf8")))
  const config = JSON.parse(readFileSync(join(packages, owner, "tsconfig.json"), "utf8"))
  writeFileSync(
    join(copy, "tsconfig.json"),
    JSON.stringify({
      extends: "../../../../tsconfig.base.json",
      compilerOptions: { ...config.compilerOptions, noEmit: true, composite: false, incremental: false },
      include: config.include,
      references: (config.references ?? []).map(({ path }: { readonly path: string }) => ({ path: `../../${path}` }))
    })
  )
  const { status, stdout } = spawnSync("tsc", ["-p", copy], { encoding: "utf8" })
  rmSync(copy, { recursive: true, force: true })
  if (status === 0) continue
  process.exitCode = 1
  console.log(`${fault.name}\n${stdout}`)
}
