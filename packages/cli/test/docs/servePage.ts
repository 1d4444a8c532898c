/**
 * The tables of `docs/serve.md`, from the definitions of the settings. `pnpm docs:pages` writes them, and a test compares them. The rest of
 * the page is written by hand.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { table } from "../../../engine/test/docs/markdown.ts"
import * as Setting from "#cli/settings/Setting.ts"
import * as Settings from "#cli/settings/settings.ts"

export const file = join(import.meta.dirname, "../../../../docs/serve.md")

const begin = "<!-- Settings: written by `pnpm docs:pages` from packages/cli/src/settings/settings.ts. -->"
const end = "<!-- End of the settings. -->"

const code = (text: string) => `\`${text}\``

const settingsTable = (): string =>
  table(
    ["flag", "variable", "key in the file", "form", "default", "meaning"],
    [Setting.config, ...Settings.all].map((setting) => [
      code(`--${setting.name}`),
      code(setting.variable),
      setting === Setting.config ? "–" : code(setting.key),
      setting.form,
      setting.fallbackText,
      // A reader would take `<public-url>` for an element of HTML.
      setting.description.replaceAll("<", String.raw`\<`)
    ])
  )

/** The page with its tables as they have to be. */
export const servePage = (): string => {
  const text = readFileSync(file, "utf8")
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`${file} has no place for the settings`)
  return `${before}${begin}\n\n${settingsTable()}\n\n${end}${after}`
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  writeFileSync(file, servePage())
