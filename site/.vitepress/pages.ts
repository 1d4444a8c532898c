/**
 * The pages of the site in reading order: the sidebar and `llms.txt` have this order. A page of `docs/` that is missing here fails the build.
 *
 * @module
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"

/** A heading of the sidebar, and the pages under it by file name. */
export interface Group {
  readonly title: string
  readonly pages: ReadonlyArray<readonly [file: string, title: string]>
}

export const groups: ReadonlyArray<Group> = [
  {
    title: "Running it",
    pages: [
      ["settings", "Settings"],
      ["operation", "Operation"],
      ["failures", "Failures"],
      ["security", "Security"]
    ]
  },
  {
    title: "Providers",
    pages: [
      ["providers", "Providers"],
      ["adding-a-provider", "Adding a provider"]
    ]
  }
]

const docs = join(import.meta.dirname, "../../docs")
const listed = groups.flatMap(({ pages }) => pages.map(([file]) => `${file}.md`))
const missing = readdirSync(docs).filter((file) => file.endsWith(".md") && ![...listed, "README.md"].includes(file))
if (missing.length > 0)
  throw new Error(`no reader would find ${missing.join(", ")}; add it to site/.vitepress/pages.ts`)
