/**
 * Every ```ts fence in the documents and docstrings is a program that compiles under the strict configuration, runs, and exits with 0.
 *
 * @module
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { extract, type Snippet, verify } from "./support/snippets.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const documents = ["README.md", "docs/*.md", "packages/*/README.md", "examples/README.md", "packages/*/src/**/*.ts"]
const snippets = globSync(documents, { cwd: root }).flatMap((file) =>
  extract(file, readFileSync(join(root, file), "utf8"))
)

const planted: ReadonlyArray<readonly [what: string, code: string, problem: RegExp | undefined]> = [
  ["that is fine", 'import assert from "node:assert/strict"\nassert.equal(1, 1)', undefined],
  ["that does not compile", "export const text: string = 1", /TS2322/],
  ["whose assertion fails", 'import assert from "node:assert/strict"\nassert.equal(1 + 1, 3)', /AssertionError/],
  ["that leaves a name unused", 'import { Effect } from "effect"', /TS6133/],
  // It also ends the process of the programs after it.
  ["that never ends", "await new Promise(() => {})", /ended with 13/]
]
const unrun: Snippet = { name: "unrun", code: 'throw new Error("it ran")', runs: false }

let problems: ReadonlyMap<string, string>
// All in one, because the compiler reads every source anew each time.
beforeAll(async () => {
  problems = await verify([...snippets, unrun, ...planted.map(([name, code]): Snippet => ({ name, code, runs: true }))])
})

describe("every ts fence", () => {
  it.each(snippets.map(({ name }) => name))("%s compiles and runs", (name) => {
    assert.isUndefined(problems.get(name), problems.get(name))
  })
  it("is accounted for", () => {
    assert.isAbove(snippets.length, 20)
    const known = [...snippets.map(({ name }) => name), ...planted.map(([name]) => name), unrun.name]
    assert.deepStrictEqual(
      Array.from(problems).filter(([name]) => !known.includes(name)),
      []
    )
  })
})

describe("the check of a fence", () => {
  it.each(planted)("%s", (name, _code, problem) => {
    if (problem === undefined) assert.isUndefined(problems.get(name))
    else assert.match(problems.get(name) ?? "", problem)
  })
  it("that says no-run does not run it", () => assert.isUndefined(problems.get(unrun.name)))

  it("finds fences in markdown and in docstrings, and says where they stand", () => {
    const markdown = "# A\n\n```ts\nconst a = 1\n```\n\n```ts no-run\nb()\n```\n\n```sh\nls\n```\n\n```json\n{}\n```\n"
    assert.deepStrictEqual(extract("a.md", markdown), [
      { name: "a.md:3", code: "const a = 1\n", runs: true },
      { name: "a.md:7", code: "b()\n", runs: false }
    ])
    const source = "/**\n * ```ts\n * if (a) {\n *   b()\n *\n * }\n * ```\n */\n"
    assert.deepStrictEqual(extract("a.ts", source), [{ name: "a.ts:2", code: "if (a) {\n  b()\n\n}\n", runs: true }])
  })
  it("refuses a fence that would escape it", () => {
    assert.throws(() => extract("a.md", "```typescript\na\n```\n"), /a\.md:1: .* would escape the tests/)
    assert.throws(() => extract("a.md", "```ts skip\na\n```\n"), /a\.md:1/)
  })
})
