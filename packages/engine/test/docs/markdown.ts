/**
 * The parts of a page that is generated: tables as the formatter pads them, anchors as GitHub makes them.
 *
 * @module
 */

/** A table. Columns are padded as the formatter pads them. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)))
  const row = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  return [row(head), row(widths.map((width) => "-".repeat(width))), ...rows.map(row)].join("\n")
}

/** The anchor of a heading. */
export const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, "")
    .replace(/\s/g, "-")

/** A page from its blocks. `source` is what to change instead of the page. */
export const page = (source: string, ...blocks: ReadonlyArray<string>): string =>
  [`<!-- Written by \`pnpm docs:pages\`. Change ${source}, not this page. -->`, ...blocks].join("\n\n") + "\n"
