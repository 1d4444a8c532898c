/**
 * The generated pages of `docs/`. `pnpm docs:pages` writes them, and a test compares them.
 *
 * @module
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { failuresPage } from "./failures.ts"
import { providersPage } from "./providers.ts"
import { settingsPage } from "./settings.ts"

const docs = join(import.meta.dirname, "../../../../docs")

export const pages: ReadonlyArray<readonly [file: string, text: () => string]> = [
  [join(docs, "failures.md"), failuresPage],
  [join(docs, "providers.md"), providersPage],
  [join(docs, "settings.md"), settingsPage]
]

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  for (const [file, text] of pages) writeFileSync(file, text())
