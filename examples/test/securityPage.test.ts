/**
 * The security page proves its claims by naming tests. A test that is renamed or moved takes its proof along, so every file and title that
 * the page quotes has to be in the sources.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../..")

/** Files are named from `packages/` on, those of the examples from the root on. */
const pathOf = (file: string): string | undefined =>
  file === "" ? undefined : [join(root, "packages", file), join(root, file)].find((path) => existsSync(path))

interface Quote {
  readonly file: string
  readonly title: string | undefined
}

/** What one line quotes. A title belongs to the file that was named last; code is no title. */
const quotesIn = (line: string, above: string): ReadonlyArray<Quote> => {
  let file = above
  return Array.from(line.matchAll(/`([^`]*)`|"([^"]+)"/g)).flatMap(([, code, title]) => {
    if (code?.endsWith(".test.ts") === true) file = code
    else if (title === undefined) return []
    return [{ file, title }]
  })
}

/** The quotes of a page. A file in the head of a table goes for each of its rows. */
const quotesOf = (page: string): ReadonlyArray<Quote> =>
  page.split(/\n{2,}/).flatMap((block) => {
    const [head = "", ...rows] = block.split("\n")
    const inHead = quotesIn(head, "")
    return [...inHead, ...rows.flatMap((row) => quotesIn(row, inHead.at(-1)?.file ?? ""))]
  })

/** Whether a test of this title is in the file. The title's `…` stands for what a table of cases puts in. */
const has = (source: string, title: string): boolean => {
  const literal = title.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll("…", "[^\"'`]*")
  return new RegExp(`(["'\`])${literal}\\1`).test(source)
}

/** What is wrong with a quote, if anything. */
const fault = ({ file, title }: Quote): string | undefined => {
  const path = pathOf(file)
  if (path === undefined) return `there is no file "${file}"`
  return title === undefined || has(readFileSync(path, "utf8"), title) ? undefined : `${file} has no test "${title}"`
}

describe("the security page", () => {
  it("names only tests that exist", () => {
    const quotes = quotesOf(readFileSync(join(root, "docs/security.md"), "utf8"))
    assert.isAbove(quotes.length, 20)
    assert.deepStrictEqual(
      quotes.flatMap((quote) => fault(quote) ?? []),
      []
    )
  })

  it("would be found out if a test were renamed or its file moved", () => {
    const table =
      '| a | test in `examples/test/securityPage.test.ts` |\n| - | - |\n| b | "names only tests that exist" |'
    assert.deepStrictEqual(quotesOf(table).map(fault), [undefined, undefined])
    assert.isString(fault({ file: "examples/test/securityPage.test.ts", title: ["names only", "tests"].join(" ") }))
    assert.isString(fault({ file: "test/securityPage.test.ts", title: undefined }))
    assert.isString(fault({ file: "", title: "names only tests that exist" }))
  })
})
