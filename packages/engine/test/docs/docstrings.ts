/**
 * Reads docstrings out of the sources, so that a page says what the declaration says.
 *
 * It relies on the formatter: a declaration begins in the first column, its members are indented by two spaces, and it ends with a bracket in the
 * first column.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

const packages = join(import.meta.dirname, "../../..")

/** The text of a source file, whose path begins at `packages/`. */
export const source = (file: string): string => readFileSync(join(packages, file), "utf8")

/** A docstring in one line, without links and `@` tags. The items of a list are on lines of their own in a cell of a table. */
const text = (comment: string): string =>
  comment
    .replaceAll(/^\s*\* ?/gm, "")
    .replace(/\n@[^]*/, "")
    .replaceAll(/\{@link (\w+)\}/g, "`$1`")
    .replaceAll(/\s*\n- /g, "<br>")
    .replaceAll(/\s+/g, " ")
    .trim()

/** The docstring of an exported declaration. */
export const docOf = (file: string, name: string): string => {
  const found = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\\nexport (?:class|interface|const|type) ${name}\\b`).exec(
    source(file)
  )
  if (found?.[1] === undefined) throw new Error(`${name} in ${file} has no docstring`)
  return text(found[1])
}

/** One member of a declaration, such as an option. */
export interface Member {
  readonly name: string
  /** The text after the name and its colon, in one line. */
  readonly declared: string
  readonly optional: boolean
  readonly doc: string
}

/** The lines of an exported declaration between its brackets. */
const bodyOf = (file: string, name: string): string => {
  const found = new RegExp(`^export (?:interface|const|class) ${name}\\b[^]*?[{[]\\n([^]*?)^[})\\]]`, "m").exec(
    source(file)
  )
  if (found?.[1] === undefined) throw new Error(`there is no ${name} in ${file}`)
  return found[1]
}

/** The members of an exported interface or `Schema.Struct`. */
export const membersOf = (file: string, name: string): ReadonlyArray<Member> =>
  Array.from(
    bodyOf(file, name).matchAll(
      /^(?: {2}\/\*\*((?:(?!\*\/)[^])*)\*\/\n)? {2}(?:readonly )?(\w+)(\?)?:\s+(?:\| )?([^\n]*(?:\n {4}[^\n]*)*)/gm
    ),
    ([, comment = "", name = "", mark, declared = ""]) => ({
      name,
      declared: declared.replaceAll(/\s+/g, " ").replace(/,$/, ""),
      optional:
        mark === "?" || declared.startsWith("Schema.optionalKey(") || declared.includes("withConstructorDefault("),
      doc: text(comment)
    })
  )

/** The literals of an exported `Schema.Literals`, with their docstrings. */
export const literalsOf = (file: string, name: string): ReadonlyArray<readonly [literal: string, doc: string]> =>
  Array.from(
    bodyOf(file, name).matchAll(/^ {2}\/\*\*((?:(?!\*\/)[^])*)\*\/\n {2}"([^"]*)"/gm),
    ([, comment = "", literal = ""]) => [literal, text(comment)]
  )
