/**
 * The API reference: every module that the packages export, as Markdown in `docs/api`, one page for each module.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

const packages = join(import.meta.dirname, "../packages")

/** The sources of a package's public modules. */
const modulesOf = (name) => {
  const { exports } = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8"))
  return Object.values(exports)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(packages, name, file))
}

export default {
  name: "API reference",
  entryPoints: ["core", "platform", "engine", "testing"].flatMap(modulesOf),
  tsconfig: "tsconfig.api.json",
  // `pnpm check` has found the errors.
  skipErrorChecking: true,
  plugin: ["typedoc-plugin-markdown", "./apiModules.ts"],
  out: "../docs/api",
  outputFileStrategy: "modules",
  entryFileName: "index",
  excludeScopesInPaths: true,
  useCodeBlocks: true,
  expandParameters: false,
  interfacePropertiesFormat: "table",
  parametersFormat: "table",
  typeDeclarationFormat: "table",
  tableColumnSettings: { hideSources: true, hideModifiers: true, hideInherited: true, hideOverrides: true },
  readme: "none",
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  hidePageHeader: true,
  hideBreadcrumbs: true,
  validation: { notExported: false },
  treatWarningsAsErrors: true
}
