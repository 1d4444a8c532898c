/**
 * A program as one file, for the processes that tests start. Most of a short process is spent on finding and loading its thousand modules.
 *
 * @module
 */
import { renameSync } from "node:fs"
import { basename, join } from "node:path"
import { build } from "rolldown"

const folder = join(import.meta.dirname, "../../node_modules/.cache")

const made = new Map<string, Promise<string>>()

const make = async (program: string, define: Readonly<Record<string, string>>): Promise<string> => {
  const name = basename(program, ".ts")
  // Written apart, because another process may make or start the same one.
  const draft = join(folder, `${name}-${process.pid}.mjs`)
  await build({
    input: program,
    platform: "node",
    // The client of Postgres looks whether it is installed.
    external: ["pg-native"],
    transform: { define },
    output: { file: draft, format: "esm", codeSplitting: false },
    logLevel: "warn"
  })
  const file = join(folder, `${name}.mjs`)
  renameSync(draft, file)
  return file
}

/** Bundles a program, once in this process, and returns the path of the file. `define` are the values of global names. */
export const bundle = (program: string, define: Readonly<Record<string, string>> = {}): Promise<string> => {
  const file = made.get(program) ?? make(program, define)
  made.set(program, file)
  return file
}
