import { assert, describe, it } from "@effect/vitest"
import { readFile } from "node:fs/promises"
import { page, pageUrl } from "./page.ts"

describe("docs/providers.md", () => {
  it("says what the data say (`pnpm docs:providers` writes it)", async () => {
    assert.strictEqual(await readFile(pageUrl, "utf8"), page())
  })
})
