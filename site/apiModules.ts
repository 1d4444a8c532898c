/**
 * A plugin of typedoc. It names each module as it is imported (`@rekindle/core/Resilience`), and not after its file. And it shows classes as Effect
 * means them: a service has the calls of its interface, and neither services nor errors have a constructor or a base worth reading.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Application, Converter, type DeclarationReflection, ReflectionKind } from "typedoc"

const packages = join(import.meta.dirname, "../packages")

/** The import of each source file that a package exports. */
const imports = new Map(
  ["core", "platform", "engine", "testing"].flatMap((folder) => {
    const { exports, name } = JSON.parse(readFileSync(join(packages, folder, "package.json"), "utf8"))
    return Object.entries<string>(exports).map(
      ([path, file]) => [join(packages, folder, file), join(name, path)] as const
    )
  })
)

/** The calls of a service: the members of the type literal that its base is made of. */
const callsOf = ({ extendedTypes = [] }: DeclarationReflection): ReadonlyArray<DeclarationReflection> =>
  extendedTypes.flatMap((base) =>
    base.type === "reference"
      ? (base.typeArguments ?? []).flatMap((argument) =>
          argument.type === "reflection" ? (argument.declaration.children ?? []) : []
        )
      : []
  )

export const load = ({ converter }: Application): void => {
  converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      const file = project.getSymbolIdFromReflection(module)?.fileName
      module.name = imports.get(file ?? "") ?? module.name
    }
    for (const found of project.getReflectionsByKind(ReflectionKind.Class)) {
      if (!found.isDeclaration()) continue
      for (const call of callsOf(found)) {
        call.parent = found
        found.addChild(call)
      }
      delete found.extendedTypes
      for (const member of found.children?.slice() ?? []) {
        delete member.inheritedFrom
        if (member.kindOf(ReflectionKind.Constructor)) project.removeReflection(member)
      }
    }
  })
}
