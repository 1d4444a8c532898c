/**
 * Makes `dist/bin.cjs`: the command with everything that it needs inside, so that a start loads a few files and not a thousand. What only some
 * commands need, such as the client of Postgres, stays in chunks of its own. `tsc` has made the rest of `dist` before, for programs that
 * import the package.
 *
 * With `--one-file <path>` it makes that one file instead, with all chunks inside, for the single executable.
 *
 * **Gotchas**
 *
 * The bundle is CommonJS. An import of a built-in module by an ES module reads all of its exports, and so loads Node's own `fetch` and
 * WebSocket, which a server does not need.
 *
 * @module
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { build } from "rolldown"
import { licencesOf } from "../effect3/licences.ts"

const root = import.meta.dirname
const { version }: { readonly version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const { "one-file": oneFile } = parseArgs({ options: { "one-file": { type: "string" } } }).values

const options = {
  cwd: root,
  platform: "node",
  transform: { define: { REKINDLE_VERSION: JSON.stringify(version), "import.meta": "{}" } }
} as const

if (oneFile !== undefined) {
  await build({
    ...options,
    input: "src/main.ts",
    output: { file: oneFile, format: "cjs", minify: true, codeSplitting: false }
  })
} else {
  rmSync(join(root, "dist/chunks"), { recursive: true, force: true })
  const { output } = await build({
    ...options,
    input: { bin: "src/bin.ts" },
    output: {
      dir: "dist",
      format: "cjs",
      entryFileNames: "[name].cjs",
      chunkFileNames: "chunks/[name]-[hash].cjs",
      minify: true
    }
  })
  const modules = output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : []))
  writeFileSync(join(root, "dist/THIRD-PARTY-LICENSES.txt"), licencesOf(modules))
}
