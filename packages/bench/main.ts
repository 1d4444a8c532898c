/**
 * `node main.ts <benchmark> [--json] [--quick]`: runs one of the benchmarks beside this file, each a folder with a `main.ts` that
 * exports `run`.
 *
 * With `--json`, standard output is exactly one object, `{rows, marks}`. The exit code is 1 if a mark was missed. `--quick` runs every step
 * once and briefly, to see that it works; it exits with 0 whatever the marks say.
 *
 * @module
 */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Flags, markdown, type Report } from "./report.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, quick: { type: "boolean", default: false } }
})
const benchmarks = readdirSync(import.meta.dirname).filter((name) =>
  existsSync(join(import.meta.dirname, name, "main.ts"))
)
const [name = ""] = positionals

if (benchmarks.includes(name)) {
  const benchmark: { readonly run: (flags: Flags) => Promise<Report> } = await import(`./${name}/main.ts`)
  const report = await benchmark.run({ quick: values.quick })
  console.log(values.json ? JSON.stringify(report) : markdown(report))
  if (!values.quick && report.marks.some(({ ok }) => !ok)) process.exitCode = 1
} else {
  console.error(`Usage: node main.ts ${benchmarks.join("|")} [--json] [--quick]`)
  process.exitCode = 2
}
