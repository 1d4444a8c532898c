/**
 * The site is `docs/` as static HTML. The Markdown stays where GitHub shows it, so links and anchors are those of GitHub.
 *
 * @module
 */
import GithubSlugger from "github-slugger"
import { defineConfig, type Plugin } from "vitepress"
import { drawDiagrams } from "./diagrams.ts"
import { writeLlms } from "./llms.ts"
import { groups } from "./pages.ts"
import { linkSources, repository } from "./sourceLinks.ts"

/** Pages become Vue components, and lie outside of this package, where they would not find Vue. */
const pagesFindVue: Plugin = {
  name: "pages-find-vue",
  resolveId(id, importer) {
    const ofPage = /^vue(\/|$)/.test(id) && importer?.endsWith(".md") === true
    return ofPage ? this.resolve(id, import.meta.filename) : undefined
  }
}

export default defineConfig({
  title: "Rekindle",
  description: "Keeps third-party connections alive, as an Effect.",
  lang: "en",
  srcDir: "../docs",
  outDir: "dist",
  cacheDir: ".cache",
  // GitHub Pages serves a project under its name.
  base: "/rekindle/",
  cleanUrls: true,
  rewrites: { "README.md": "index.md" },
  sitemap: { hostname: "https://rekindle.github.io/rekindle/" },
  head: [["link", { rel: "alternate", type: "text/plain", title: "For language models", href: "/rekindle/llms.txt" }]],
  markdown: {
    anchor: { slugify: (heading) => new GithubSlugger().slug(heading) },
    config: (md) => {
      linkSources(md)
      drawDiagrams(md)
    }
  },
  themeConfig: {
    nav: [{ text: "Changelog", link: `${repository}/releases` }],
    sidebar: groups.map(({ pages, title }) => ({
      text: title,
      items: pages.map(([file, text]) => ({ text, link: `/${file}` }))
    })),
    outline: { level: [2, 3] },
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: repository }],
    editLink: { pattern: `${repository}/edit/main/docs/:path` },
    footer: { message: "MIT licence" }
  },
  vite: { plugins: [pagesFindVue] },
  buildEnd: writeLlms
})
