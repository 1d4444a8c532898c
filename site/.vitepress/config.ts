/**
 * The site is `docs/` as static HTML. The Markdown stays where GitHub shows it, so links and anchors are those of GitHub.
 *
 * @module
 */
import GithubSlugger from "github-slugger"
import { join } from "node:path"
import { defineConfig, type Plugin } from "vitepress"
import { drawDiagrams } from "./diagrams.ts"
import { apiReference } from "./apiReference.ts"
import { writeLlms } from "./llms.ts"
import { groups } from "./pages.ts"
import { linkSources, repository } from "./sourceLinks.ts"
import { labelCells } from "./tables.ts"

/** Pages become Vue components, and lie outside of this package, where they would not find Vue. */
const pagesFindVue: Plugin = {
  name: "pages-find-vue",
  resolveId(id, importer) {
    const ofPage = /^vue(\/|$)/.test(id) && importer?.endsWith(".md") === true
    return ofPage ? this.resolve(id, import.meta.filename) : undefined
  }
}

const description = "Keeps third-party connections alive, as an Effect."

const summaries = new Map(groups.flatMap(({ pages }) => pages.map(([file, , summary]) => [`${file}.md`, summary])))

const isReference = (page: string): boolean => page.startsWith("api/")

export default defineConfig({
  title: "Rekindle",
  description,
  lang: "en",
  srcDir: "../docs",
  outDir: "dist",
  cacheDir: ".cache",
  // GitHub Pages serves a project under its name.
  base: "/rekindle/",
  cleanUrls: true,
  rewrites: { "README.md": "index.md" },
  sitemap: { hostname: "https://rekindle.github.io/rekindle/" },
  head: [
    ["link", { rel: "icon", type: "image/svg+xml", href: "/rekindle/icon.svg" }],
    ["link", { rel: "alternate", type: "text/plain", title: "For language models", href: "/rekindle/llms.txt" }]
  ],
  markdown: {
    anchor: { slugify: (heading) => new GithubSlugger().slug(heading) },
    config: (md) => {
      linkSources(md)
      drawDiagrams(md)
      labelCells(md)
    }
  },
  themeConfig: {
    logo: "/icon.svg",
    nav: [
      { text: "API", link: "/api/" },
      { text: "Changelog", link: `${repository}/releases` }
    ],
    sidebar: [
      ...groups.map(({ pages, title }) => ({
        text: title,
        items: pages.map(([file, text]) => ({ text, link: `/${file}` }))
      })),
      { text: "API reference", link: "/api/", items: apiReference() }
    ],
    outline: { level: [2, 3] },
    search: {
      provider: "local",
      options: {
        // Of the API reference only the names are searched: the types would make most of the index.
        _render: (text, env, md) =>
          md.render(isReference(env.relativePath) ? (text.match(/^#{1,3} .*$/gm) ?? []).join("\n\n") : text, env)
      }
    },
    socialLinks: [{ icon: "github", link: repository }],
    editLink: { pattern: `${repository}/edit/main/docs/:path` },
    footer: { message: "MIT licence" }
  },
  vite: { plugins: [pagesFindVue], publicDir: join(import.meta.dirname, "../public") },
  // Nobody can edit what is generated at build.
  transformPageData: ({ frontmatter, relativePath }) =>
    isReference(relativePath)
      ? { frontmatter: { ...frontmatter, editLink: false } }
      : { description: summaries.get(relativePath) ?? description },
  buildEnd: writeLlms
})
