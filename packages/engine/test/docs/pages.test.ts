/** The generated pages say what the sources say. */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { causes } from "./failures.ts"
import { pages } from "./pages.ts"
import { keyProviders, providers } from "./providers.ts"

const root = join(import.meta.dirname, "../../../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

describe("a generated page", () => {
  it.each(pages.map(([file, text]) => [basename(file), file, text] as const))(
    "%s is what `pnpm docs:pages` writes",
    (_, file, text) => {
      assert.strictEqual(readFileSync(file, "utf8"), text())
    }
  )
})

describe("docs/failures.md", () => {
  const engine = globSync("packages/{core,engine}/src/**/*.ts", { cwd: root }).map(read).join("\n")
  it.each(causes.map(([cause]) => cause))("names the cause %s, which the engine gives", (cause) => {
    // `dns_failed`, `redirected_302` and others of their kind are put together: the step or kind, and what became of it.
    const [kind = ""] = cause.split(/_(?:failed$|…)/)
    assert.match(engine, new RegExp(`["\`]${kind}(?:_|\\b)`))
  })
})

describe("the READMEs", () => {
  it("say how many providers there are", () => {
    assert.include(read("README.md"), `${providers.length} provider profiles`)
    assert.include(
      read("packages/engine/README.md"),
      `${providers.length} ready-made profiles and ${keyProviders.length} API-key providers`
    )
  })
})
