/**
 * Plants a fault in the engine of this process, before the engine is loaded.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import type { PlantedFault } from "./faults.ts"

const packages = join(import.meta.dirname, "../../..")

/** The path of the file that a fault is in. */
export const pathOf = ({ file }: Pick<PlantedFault, "file">): string => join(packages, file)

/** The source with the fault. Fails unless the text to replace occurs exactly once, because a patch that does nothing breaks nothing. */
export const patched = ({ file, find, name, replace }: PlantedFault, source: string): string => {
  const parts = source.split(find)
  if (parts.length !== 2) {
    throw new Error(`the fault ${name} has its text ${parts.length - 1} times in ${file}, not once`)
  }
  return parts.join(replace)
}

/** Plants the fault. Modules that are loaded already do not have it. */
export const plant = (fault: PlantedFault): void => {
  const url = pathToFileURL(pathOf(fault)).href
  const source = patched(fault, readFileSync(pathOf(fault), "utf8"))
  registerHooks({
    load: (asked, context, nextLoad) =>
      asked === url ? { format: "module-typescript", source, shortCircuit: true } : nextLoad(asked, context)
  })
}
