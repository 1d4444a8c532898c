/** The generated pages match the sources. */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { causes } from "./failures.ts"
import { pages } from "./pages.ts"
import { membersOf } from "./docstrings.ts"
import { keyProviders, providers } from "./providers.ts"
import { sections, variables } from "./settings.ts"

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
    // Causes like `dns_failed` and `redirected_302` are composed of a step or kind, and what happened.
    const [kind = ""] = cause.split(/_(?:failed$|…)/)
    assert.match(engine, new RegExp(`["\`]${kind}(?:_|\\b)`))
  })
})

/** Options that are not settings of an application, and where they belong. */
const elsewhere = new Map([
  ["AuthConfigListOptions", "a page and a filter, each with a table of its own"],
  ["RenewOptions", "the coordinator, for the engine's own callers"],
  ["StartOptions", "consent, for the engine's own callers"],
  ["TransportOptions", "a transport, for the egress"]
])

describe("docs/settings.md", () => {
  const sources = globSync("packages/{core,engine,platform}/src/**/*.ts", { cwd: root })

  it("has every declaration of options", () => {
    const declared = sources.flatMap((file) =>
      Array.from(read(file).matchAll(/^export interface (\w*Options)\b/gm), ([, name = ""]) => name)
    )
    const listed = sections.map(({ name }) => name)
    assert.isAbove(declared.length, 20)
    assert.deepStrictEqual(
      declared.filter((name) => !listed.includes(name) && !elsewhere.has(name)),
      []
    )
  })

  it("says what each setting is for", () => {
    for (const { file, name } of sections) {
      const members = membersOf(file, name)
      assert.isAbove(members.length, 0, name)
      assert.deepStrictEqual(
        members.filter(({ doc }) => doc === ""),
        [],
        name
      )
    }
  })

  it("has every variable that is read", () => {
    const found = sources.flatMap((file) =>
      Array.from(
        read(file).matchAll(/\b(?:Config\.\w+|read[A-Z]\w+)\("([A-Z][A-Z_]+)"/g),
        ([, variable = ""]) => variable
      )
    )
    assert.sameMembers(
      Array.from(new Set(found)),
      variables.map(([name]) => name)
    )
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
