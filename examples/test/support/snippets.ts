/**
 * Turns the ```ts fences of documents and docstrings into programs, type checks them together and runs each.
 *
 * A fence is a complete program: it has its imports, asserts what it shows, and ends by itself. A fence with `ts no-run` is only type checked.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { execute, node } from "./run.ts"

/** One fence. `name` is its file and line. */
export interface Snippet {
  readonly name: string
  readonly code: string
  readonly runs: boolean
}

const fence = /^([ \t]*(?:\* ?)?)```(ts|typescript|tsx|js|javascript)(?!\w)([^\n]*)\n([\s\S]*?)^\1```/gm

/** The fences of a markdown document, or of the docstrings of a source file. */
export const extract = (file: string, text: string): ReadonlyArray<Snippet> =>
  Array.from(text.matchAll(fence), ({ 1: margin = "", 2: language = "", 3: flags = "", 4: body = "", index }) => {
    const name = `${file}:${text.slice(0, index).split("\n").length}`
    if (language !== "ts" || !/^(?: no-run)?$/.test(flags)) {
      throw new Error(`${name}: "${language}${flags}" would escape the tests; say "ts" or "ts no-run"`)
    }
    const code = body.replaceAll(new RegExp(`^${margin.trimEnd().replaceAll("*", "\\*")} ?`, "gm"), "")
    return { name, code, runs: flags === "" }
  })

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** A package whose imports a snippet has, and its compiler's base configuration. */
interface Home {
  readonly folder: string
  readonly config: string
}
const examples: Home = { folder: join(root, "examples"), config: join(root, "tsconfig.base.json") }
/** Here `effect` is Effect 3. */
const effect3: Home = {
  folder: join(root, "packages/effect3"),
  config: join(root, "packages/effect3/tsconfig.base.json")
}
const homeOf = ({ name }: Snippet): Home => (name.startsWith("packages/effect3/") ? effect3 : examples)

/** How many programs share a process: starting one costs more than running a program. */
const batchSize = 8

const compilerOptions = {
  composite: false,
  incremental: false,
  declarationMap: false,
  noEmit: true,
  types: ["node"]
}

const runner = `for (const file of process.argv.slice(1)) {
  try { await import(file); console.log("ran " + file) } catch (error) { console.error(error) }
}`

interface File extends Snippet {
  readonly path: string
}

type Problems = ReadonlyArray<readonly [name: string, problem: string]>

/** The compiler's errors, by snippet. Errors outside of every snippet are under the name `tsc`. */
const compile = async (directory: string, files: ReadonlyArray<File>): Promise<Problems> => {
  const { code, stderr, stdout } = await execute(
    join(root, "node_modules/.bin/tsc"),
    "-p",
    directory,
    "--pretty",
    "false"
  )
  const problems = files.flatMap(({ name, path }): Problems => {
    const lines = stdout.split("\n").filter((line) => line.includes(`/${basename(path)}(`))
    return lines.length === 0 ? [] : [[name, lines.join("\n")]]
  })
  return code === 0 || problems.length > 0 ? problems : [["tsc", stdout + stderr]]
}

/** The failures of the programs, by snippet. */
const run = async (files: ReadonlyArray<File>): Promise<Problems> => {
  const batch = files.slice(0, batchSize)
  if (batch.length === 0) return []
  const { code, stderr, stdout } = await node("--input-type=module", "--eval", runner, ...batch.map(({ path }) => path))
  const failed = batch.filter(({ path }) => !stdout.includes(`ran ${path}\n`))
  // All programs ended and the process failed nevertheless, so any of them may be the cause.
  const blamed = failed.length > 0 || code === 0 ? failed : batch
  const problems = blamed.map(({ name }) => [name, `ended with ${code}: ${stderr}`] as const)
  return [...problems, ...(await run(files.slice(batchSize)))]
}

/** The faults by snippet. Snippets without a fault are not in it, and `tsc` stands for faults outside of every snippet. */
export const verify = async (snippets: ReadonlyArray<Snippet>): Promise<ReadonlyMap<string, string>> => {
  const problems = [examples, effect3].map((home) =>
    verifyIn(
      home,
      snippets.filter((snippet) => homeOf(snippet) === home)
    )
  )
  return new Map((await Promise.all(problems)).flat())
}

const verifyIn = async ({ config, folder }: Home, snippets: ReadonlyArray<Snippet>): Promise<Problems> => {
  if (snippets.length === 0) return []
  // Within the package, so that imports resolve as in its own files.
  const within = join(folder, ".snippets")
  mkdirSync(within, { recursive: true })
  const directory = mkdtempSync(join(within, "run-"))
  try {
    const files = snippets.map((snippet) => ({
      ...snippet,
      path: join(directory, `${snippet.name.replaceAll(/\W/g, "_")}.ts`)
    }))
    for (const { code, path } of files) writeFileSync(path, `${code}\nexport {}\n`)
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ extends: config, compilerOptions }))

    const [compiled, ran] = await Promise.all([compile(directory, files), run(files.filter(({ runs }) => runs))])
    return [...ran, ...compiled]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
