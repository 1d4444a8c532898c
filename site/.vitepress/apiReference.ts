/**
 * The modules of the API reference for the sidebar, as typedoc wrote them into `docs/api`.
 *
 * @module
 */
import { globSync } from "node:fs"
import { join } from "node:path"
import type { DefaultTheme } from "vitepress"

const api = join(import.meta.dirname, "../../docs/api")

/** One item for each package, with its modules below it. */
export const apiReference = (): Array<DefaultTheme.SidebarItem> => {
  const files = globSync("**/*.md", { cwd: api }).toSorted()
  const modules = files.map((file) => file.replace(/\/index\.md$|\.md$/, "")).filter((name) => name !== "index")
  const linkOf = (name: string) => `/api/${name}${files.includes(`${name}/index.md`) ? "/" : ""}`
  return modules
    .filter((name) => !name.includes("/"))
    .map((name) => ({
      text: name,
      link: linkOf(name),
      collapsed: true,
      items: modules
        .filter((module) => module.startsWith(`${name}/`))
        .map((module) => ({ text: module.replace(`${name}/`, "").replace(/\bnamespaces\//, ""), link: linkOf(module) }))
    }))
}
