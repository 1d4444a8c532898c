import { assert, describe, it } from "@effect/vitest"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath, pathToFileURL } from "node:url"
import { createContext, runInContext } from "node:vm"

const root = new URL("../", import.meta.url)

/** The part of rolldown that is used here. It comes with vitest, through vite, so it is resolved from there. */
interface Rolldown {
  readonly build: (options: {
    readonly input: string
    readonly platform: "browser"
    readonly write: false
    readonly logLevel: "silent"
    readonly output: { readonly format: "iife"; readonly name: string }
  }) => Promise<{
    readonly output: ReadonlyArray<{
      readonly code?: string
      readonly imports?: ReadonlyArray<string>
      readonly dynamicImports?: ReadonlyArray<string>
    }>
  }>
}

const bundle = async (entry: URL) => {
  const vitest = createRequire(import.meta.url).resolve("vitest/package.json")
  const vite = createRequire(vitest).resolve("vite/package.json")
  const rolldown: Rolldown = await import(pathToFileURL(createRequire(vite).resolve("rolldown")).href)
  const { output } = await rolldown.build({
    input: fileURLToPath(entry),
    platform: "browser",
    write: false,
    logLevel: "silent",
    output: { format: "iife", name: "Rekindle" }
  })
  return {
    code: output.map((chunk) => chunk.code ?? "").join("\n"),
    imports: output.flatMap((chunk) => [...(chunk.imports ?? []), ...(chunk.dynamicImports ?? [])])
  }
}

describe("the package", () => {
  it("depends on effect alone, and as a peer", () => {
    const manifest: Record<string, unknown> = JSON.parse(readFileSync(new URL("package.json", root), "utf8"))
    assert.notProperty(manifest, "dependencies")
    assert.notProperty(manifest, "optionalDependencies")
    assert.deepStrictEqual(manifest["peerDependencies"], { effect: "~4.1.0" })
  })

  it("bundles for a browser without imports, and runs there", async () => {
    const { code, imports } = await bundle(new URL("src/index.ts", root))
    assert.deepStrictEqual(imports, [])
    // A realm with what browsers have, and without `process`, `Buffer` or `require`.
    const page = createContext({ setTimeout, clearTimeout, queueMicrotask, TextEncoder, TextDecoder, URL, performance })
    const made = runInContext(`${code}; Rekindle.Ready.make({ id: "ca_4CkFF_cKATwg" })._tag`, page)
    assert.strictEqual(made, "Ready")
  })

  it("would fail this test if it imported a node builtin", async () => {
    const directory = mkdtempSync(fileURLToPath(new URL("test/.bundle-", root)))
    try {
      const entry = pathToFileURL(`${directory}/entry.ts`)
      writeFileSync(entry, `export { readFileSync } from "node:fs"\nexport * from "../../src/index.ts"\n`)
      const { imports } = await bundle(entry)
      assert.deepStrictEqual(imports, ["node:fs"])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
