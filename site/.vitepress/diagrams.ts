/**
 * Draws the `mermaid` fences of a page as SVG while it is built, as GitHub does in the browser. So a page needs no script for it, and the colours
 * follow the theme, because they are variables of the style sheet.
 *
 * @module
 */
import { renderMermaidSVG } from "beautiful-mermaid"
import type { MarkdownRenderer } from "vitepress"

/** The drawing. Its own style sheet is left out: it would apply to the whole page, and load a font from elsewhere. */
const draw = (text: string): string =>
  renderMermaidSVG(text, { bg: "var(--vp-c-bg)", fg: "var(--vp-c-text-1)", transparent: true }).replace(
    /<style>[^]*?<\/style>/,
    ""
  )

/** Replaces the fences. */
export const drawDiagrams = (md: MarkdownRenderer): void => {
  const { fence } = md.renderer.rules
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const token = tokens[index]
    return token?.info.trim() === "mermaid"
      ? `<figure class="diagram" v-pre>${draw(token.content)}</figure>`
      : (fence?.(tokens, index, ...rest) ?? "")
  }
}
