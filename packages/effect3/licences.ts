/**
 * The licences of what a bundle has inside, which it has to keep.
 *
 * @module
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** The licences of the packages that these modules are of, as one text. Fails if one has none. */
export const licencesOf = (modules: ReadonlyArray<string>): string => {
  const folders = modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0] ?? [])
  const licences = [...new Set(folders)].toSorted().map((folder) => {
    const { name, version }: { readonly name: string; readonly version: string } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8")
    )
    const [file] = globSync("LICEN[CS]E*", { cwd: folder })
    if (file === undefined) throw new Error(`${name} is bundled and has no licence`)
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`
  })
  return licences.join("\n---\n\n")
}
