/**
 * Gives each cell of a table the head of its column, so that the style sheet can show a row as a list where the screen is narrow.
 *
 * @module
 */
import type { MarkdownRenderer } from "vitepress"

export const labelCells = (md: MarkdownRenderer): void => {
  md.core.ruler.push("label-cells", ({ tokens }) => {
    let heads: Array<string> = []
    let column = 0
    for (const [index, token] of tokens.entries()) {
      if (token.type === "table_open") heads = []
      if (token.type === "tr_open") column = 0
      if (token.type === "th_open") heads.push(tokens[index + 1]?.content.replaceAll("`", "") ?? "")
      if (token.type === "td_open") token.attrSet("data-head", heads[column++] ?? "")
    }
  })
}
