/**
 * Writes the pages for language models (llmstxt.org): `llms.txt` lists them, `llms-full.txt` holds them all, and each page's Markdown is beside
 * its HTML.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { SiteConfig } from "vitepress"
import { groups } from "./pages.ts"
import { addressOf } from "./sourceLinks.ts"

/** Makes the links of a page absolute, so that they also work where the page was copied to. */
const absolute = (markdown: string, page: string, origin: string): string =>
  markdown.replaceAll(/\]\(([^)\s]+)\)/g, (_, href: string) => {
    const address = addressOf(href, page)
    return `](${URL.canParse(address) || address.startsWith("#") ? address : new URL(address, origin).href})`
  })

export const writeLlms = ({ outDir, site, sitemap, srcDir }: SiteConfig): void => {
  const origin = sitemap?.hostname ?? ""
  const sections = groups.map(({ pages, title }) => ({
    title,
    pages: pages.map(([file, title, summary]) => ({
      file,
      title,
      summary,
      markdown: absolute(readFileSync(join(srcDir, `${file}.md`), "utf8"), `${file}.md`, origin)
    }))
  }))
  const list = sections.map(({ pages, title }) =>
    [
      `## ${title}`,
      "",
      ...pages.map(({ file, summary, title }) => `- [${title}](${origin}${file}.md): ${summary}`)
    ].join("\n")
  )
  const pages = sections.flatMap(({ pages }) => pages)
  writeFileSync(
    join(outDir, "llms.txt"),
    [`# ${site.title}`, `> ${site.description}`, `All pages in one file: ${origin}llms-full.txt`, ...list].join(
      "\n\n"
    ) + "\n"
  )
  writeFileSync(join(outDir, "llms-full.txt"), pages.map(({ markdown }) => markdown).join("\n"))
  for (const { file, markdown } of pages) writeFileSync(join(outDir, `${file}.md`), markdown)
}
