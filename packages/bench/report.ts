/**
 * The report that every benchmark returns, and how it is printed.
 *
 * @module
 */

/** One line of results. Lines with the same columns are printed as one table. */
export interface Row {
  readonly name: string
  readonly [column: string]: string | number
}

/** A measured value and the limit that this project promises to keep. */
export interface Mark {
  readonly name: string
  readonly value: number
  readonly mark: number
  readonly ok: boolean
}

export interface Report {
  readonly rows: ReadonlyArray<Row>
  readonly marks: ReadonlyArray<Mark>
}

export interface Flags {
  /** A smoke test: every step once and briefly, so that the numbers mean nothing. */
  readonly quick: boolean
}

export const atLeast = (name: string, value: number, mark: number): Mark => ({ name, value, mark, ok: value >= mark })
export const atMost = (name: string, value: number, mark: number): Mark => ({ name, value, mark, ok: value <= mark })

/** The report as Markdown tables. */
export const markdown = ({ marks, rows }: Report): string => {
  const tables = Map.groupBy(rows, (row) => Object.keys(row).join())
  return [
    ...[...tables.values()].map(table),
    table(marks.map(({ name, value, mark, ok }) => ({ promised: name, value, mark, ok: ok ? "yes" : "no" })))
  ].join("\n\n")
}

const table = (rows: ReadonlyArray<Record<string, string | number>>): string => {
  const columns = Object.keys(rows[0] ?? {})
  const lines = [columns, ...rows.map((row) => columns.map((column) => shown(row[column] ?? "")))]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const isNumber = columns.map((column) => typeof rows[0]?.[column] === "number")
  const padded = lines.map((line) =>
    line.map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
  )
  const rule = widths.map((width, i) => (isNumber[i] ? `${"-".repeat(width - 1)}:` : "-".repeat(width)))
  const [head = [], ...body] = padded
  return [head, rule, ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
}

const shown = (cell: string | number): string =>
  typeof cell === "string" ? cell : cell >= 1_000 ? Math.round(cell).toLocaleString("en") : String(cell)
