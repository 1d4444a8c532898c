/**
 * What an editor shows of the published packages: every export says what it is, every setting what it does, and every optional one takes
 * `undefined`, which `exactOptionalPropertyTypes` would otherwise refuse.
 *
 * @module
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "../..")

const packages = ["core", "platform", "engine", "testing"] as const

/** The modules that a package names in its manifest, and those that they pass on. All others are closed. */
const published = packages.flatMap((name): ReadonlyArray<string> => {
  const manifest: { readonly exports: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync(join(root, "packages", name, "package.json"), "utf8")
  )
  const entries = Object.values(manifest.exports)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join("packages", name, file))
  const passedOn = entries.flatMap((entry) =>
    Array.from(
      readFileSync(join(root, entry), "utf8").matchAll(/^(?:export .*|\} )from "(\.[^"]+)"/gm),
      ([, file = ""]) => join(dirname(entry), file)
    )
  )
  return [...new Set([...entries, ...passedOn])]
})

const sources = published.map((file) => ({ file, lines: readFileSync(join(root, file), "utf8").split("\n") }))

/** An overload of what stands above it. */
const isRepeated = (lines: ReadonlyArray<string>, index: number): boolean => {
  const [declaration] = /^export function \w+/.exec(lines[index] ?? "") ?? []
  return declaration !== undefined && lines.findIndex((line) => line.startsWith(declaration)) < index
}

const isDocumented = (lines: ReadonlyArray<string>, index: number): boolean => /\*\/\s*$/.test(lines[index - 1] ?? "")

/** A type beside the schema of the same name has its words there. */
const isCompanion = (lines: ReadonlyArray<string>, line: string): boolean => {
  const [, name] = /^export type (\w+) = /.exec(line) ?? []
  return name !== undefined && lines.some((other) => other.startsWith(`export const ${name} = `))
}

interface Member {
  readonly where: string
  readonly documented: boolean
  readonly optional: boolean
  readonly type: string
}

/** The properties of the exported interfaces, each with its type up to the next property. */
const membersOf = ({ file, lines }: (typeof sources)[number], interfaces: RegExp): ReadonlyArray<Member> => {
  const members = new Array<Member>()
  let within: string | undefined
  for (const [index, line] of lines.entries()) {
    within = interfaces.exec(line)?.[1] ?? (line.startsWith("}") ? undefined : within)
    const property = /^ {2}readonly (\w+)(\?)?: (.*)$/.exec(line)
    if (within === undefined || property === null) continue
    const [, name, optional, type = ""] = property
    const end = lines.findIndex((next, at) => at > index && /^(?:\}| {2}[^\s})])/.test(next))
    members.push({
      where: `${file} ${within}.${name}`,
      documented: isDocumented(lines, index),
      optional: optional === "?",
      // The last line is what follows a type in braces.
      type: [type, ...lines.slice(index + 1, end).filter((next) => !/^ {2}\/\*\*/.test(next))].at(-1) ?? ""
    })
  }
  return members
}

describe("an index", () => {
  it.each(packages)(
    "of %s has no bare function: services, schemas and errors have names, functions a namespace",
    async (name) => {
      const index: object = await import(`@rekindle/${name}`)
      assert.deepStrictEqual(
        Object.keys(index).filter((key) => !/^[A-Z]/.test(key)),
        []
      )
    }
  )
})

describe("a published module", () => {
  it("says of every export what it is", () => {
    const silent = sources.flatMap(({ file, lines }) =>
      lines.flatMap((line, index) =>
        /^export (?:declare |abstract |async )*(?:const|function|class|interface|type)\b/.test(line) &&
        !/^export type \{/.test(line) &&
        !isCompanion(lines, line) &&
        !isRepeated(lines, index) &&
        !isDocumented(lines, index)
          ? [`${file}:${index + 1} ${line}`]
          : []
      )
    )
    assert.deepStrictEqual(silent, [])
  })

  it("says of every setting what it does", () => {
    const settings = sources.flatMap((source) => membersOf(source, /^export interface (\w*(?:Options|Settings))\b/))
    assert.isAbove(settings.length, 50)
    assert.deepStrictEqual(
      settings.filter(({ documented }) => !documented).map(({ where }) => where),
      []
    )
  })

  it("takes undefined for whatever may be left out", () => {
    const optional = sources
      .flatMap((source) => membersOf(source, /^export interface (\w+)/))
      .filter((member) => member.optional)
    assert.isAbove(optional.length, 50)
    assert.deepStrictEqual(
      optional.filter(({ type }) => !/\bundefined\b/.test(type)).map(({ where }) => where),
      []
    )
  })
})
