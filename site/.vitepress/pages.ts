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
    title: "Begin",
    pages: [
      ["start", "A five-minute start"],
      ["tokens", "How a token is kept"]
    ]
  },
  {
    title: "Four ways to use it",
    pages: [
      ["client", "A hardened client"],
      ["service", "A self-hosted service"],
      ["engine", "The engine in an application"],
      ["testing", "The test layer"],
      ["without-effect", "Without Effect"]
    ]
  },
  {
    title: "Reference",
    pages: [
      ["policies", "Policies"],
      ["settings", "Settings"],
      ["failures", "Failures"],
      ["providers", "Providers"],
      ["adding-a-provider", "Adding a provider"]
    ]
  },
  {
    title: "In production",
    pages: [
      ["operation", "Operation"],
      ["security", "Security"],
      ["moving", "Moving from other tools"]
    ]
  }
]

const docs = join(import.meta.dirname, "../../docs")
const listed = groups.flatMap(({ pages }) => pages.map(([file]) => `${file}.md`))
const missing = readdirSync(docs).filter((file) => file.endsWith(".md") && ![...listed, "README.md"].includes(file))
if (missing.length > 0)
  throw new Error(`no reader would find ${missing.join(", ")}; add it to site/.vitepress/pages.ts`)
