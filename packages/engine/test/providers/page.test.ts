import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { keyProviders, page, pageUrl, providers } from "./page.ts"

describe("docs/providers.md", () => {
  it("is the page that `pnpm docs:providers` writes", () => {
    assert.strictEqual(readFileSync(pageUrl, "utf8"), page())
  })
})

describe("the READMEs", () => {
  const read = (file: string) => readFileSync(new URL(`../../../../${file}`, import.meta.url), "utf8")
  it("say how many providers there are", () => {
    assert.include(read("README.md"), `${providers.length} provider profiles`)
    assert.include(
      read("packages/engine/README.md"),
      `${providers.length} ready-made profiles and ${keyProviders.length} API-key providers`
    )
  })
})
