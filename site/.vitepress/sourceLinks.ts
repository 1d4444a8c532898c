/**
 * Links from a page of `docs/` to other files of the repository lead to GitHub, because the site does not have these files.
 *
 * @module
 */
import { statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import type { MarkdownRenderer } from "vitepress"

export const repository = "https://github.com/rekindle/rekindle"

const root = join(import.meta.dirname, "../..")
const docs = join(root, "docs")

/** The address of a link on a page, which is named from `docs/` on. Links within `docs/` and to other sites stay as they are. */
export const addressOf = (href: string, page: string): string => {
  const [path = "", anchor] = href.split("#")
  const file = join(docs, dirname(page), path)
  if (!path.startsWith("../") || !relative(docs, file).startsWith("..")) return href
  const kind = statSync(file).isDirectory() ? "tree" : "blob"
  return `${repository}/${kind}/main/${relative(root, file)}${anchor === undefined ? "" : `#${anchor}`}`
}

/** Changes the links while a page is parsed, before VitePress renders them. */
export const linkSources = (md: MarkdownRenderer): void => {
  md.core.ruler.push("source-links", ({ env, tokens }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.attrGet("href")
      if (token.type === "link_open" && href !== null) token.attrSet("href", addressOf(href, env.relativePath))
    }
  })
}
