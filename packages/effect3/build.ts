/**
 * Makes `dist`: the modules with everything that they wrap (Effect 4, the other packages) inside, and declarations that name Effect 3 alone.
 *
 * **Gotchas**
 *
 * `effect` means Effect 3 in this package and Effect 4 in the others, so only this package's own imports of it are left outside.
 *
 * @module
 */
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { join, relative } from "node:path"
import { build } from "rolldown"
import { esmExternalRequirePlugin } from "rolldown/plugins"
import { licencesOf } from "./licences.ts"

const root = import.meta.dirname
const dist = join(root, "dist")
const sources = join(root, "src")
const declarations = join(root, ".tsbuild/src")

const isPeer = (specifier: string) => /^(?:effect|@effect\/platform)(?:\/|$)/.test(specifier)

rmSync(dist, { recursive: true, force: true })
const { output } = await build({
  cwd: root,
  input: { index: "src/index.ts", RekindleEngine: "src/RekindleEngine.ts", Testing: "src/Testing.ts" },
  // For Node, every module would ask for `createRequire` of `node:module`, because undici's do. The plugin imports what they require.
  platform: "neutral",
  resolve: { mainFields: ["module", "main"] },
  plugins: [esmExternalRequirePlugin({ external: [/^node:/, ...builtinModules] })],
  external: (specifier, importer) =>
    isPeer(specifier) && importer !== undefined && !relative(sources, importer).startsWith(".."),
  output: { dir: dist, chunkFileNames: "chunks/[name]-[hash].js" }
})

// The client and the script run where there is no Node.
for (const part of output)
  if (part.type === "chunk" && part.name !== "RekindleEngine" && part.imports.some((name) => name.startsWith("node:")))
    throw new Error(`${part.fileName} imports ${part.imports.join()}`)

for (const file of globSync("*.d.ts", { cwd: declarations })) {
  const text = readFileSync(join(declarations, file), "utf8")
  // A consumer has neither.
  const foreign = /(?:from |import\()"(?:effect4|@rekindle\/(?!effect3")|\.\/internal\/)[^"]*"/.exec(text)
  if (foreign !== null) throw new Error(`${file} names a type that is not published: ${foreign[0]}`)
  writeFileSync(join(dist, file), text.replace(/^\/\/# sourceMappingURL=.*$/m, ""))
}

const modules = output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : []))
writeFileSync(join(dist, "THIRD-PARTY-LICENSES.txt"), licencesOf(modules))
