/**
 * Opens every page of the built site in Chromium, narrow and dark, then wide and light. It fails on an error of a page, on a page that is wider than
 * the screen, and on a link to a page or an anchor that is not there.
 *
 * **Gotchas**
 *
 * The browser is the machine's own Chromium. If there is none, the output says that it was left out.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { globSync } from "node:fs"
import { join } from "node:path"
import { chromium, type Page } from "playwright-core"
import { serve } from "vitepress"

const dist = join(import.meta.dirname, "dist")

const views = [
  { name: "narrow and dark", width: 390, height: 844, colorScheme: "dark" },
  { name: "wide and light", width: 1280, height: 900, colorScheme: "light" }
] as const

const findBrowser = (): string | undefined => {
  try {
    const find = "command -v chromium || command -v chromium-browser || command -v google-chrome"
    return execFileSync("/bin/sh", ["-c", find], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
}

/** The ids of a page, and where its links lead. */
interface Seen {
  readonly ids: ReadonlySet<string>
  readonly links: ReadonlySet<string>
}

const look = async (page: Page): Promise<Seen> => {
  const ids = await page.$$eval("[id]", (elements) => elements.map(({ id }) => id))
  const links = await page.$$eval("a[href]", (anchors: Array<HTMLAnchorElement>) => anchors.map(({ href }) => href))
  return { ids: new Set(ids), links: new Set(links) }
}

/** The problems of all pages. */
const check = async (page: Page, origin: string): Promise<ReadonlyArray<string>> => {
  const problems: Array<string> = []
  let name = ""
  const report = (problem: string) => problems.push(`${name}: ${problem}`)
  page.on("pageerror", ({ message }) => report(message))
  page.on("console", (message) => {
    if (message.type() === "error") report(`${message.text()} ${message.location().url}`)
  })

  const pages = globSync("**/*.html", { cwd: dist })
    .filter((file) => file !== "404.html")
    .map((file) => origin + file.replace(/(?:index)?\.html$/, ""))
  const seen = new Map<string, Seen>()
  for (const address of pages) {
    name = address.slice(origin.length) || "the first page"
    for (const { colorScheme, height, name, width } of views) {
      await page.setViewportSize({ width, height })
      await page.emulateMedia({ colorScheme })
      if (page.url() !== address) await page.goto(address, { waitUntil: "load" })
      const found = await page.evaluate(() => document.documentElement.scrollWidth)
      if (found > width) report(`${name}, it is ${found} wide on a screen of ${width}`)
    }
    seen.set(address, await look(page))
  }
  // A link to a page that is not there has failed the build already.
  for (const [address, { links }] of seen) {
    name = address.slice(origin.length)
    for (const link of links) {
      const anchor = decodeURIComponent(new URL(link).hash.slice(1))
      const target = seen.get(link.replace(/#.*/, ""))
      if (anchor !== "" && target?.ids.has(anchor) === false) report(`there is no ${link.slice(origin.length)}`)
    }
  }
  console.log(`${pages.length} pages, ${views.map(({ name }) => name).join(", ")}: ${problems.length} problems`)
  return problems
}

const executablePath = findBrowser()
if (executablePath === undefined) {
  console.log("The pages were not looked at: no Chromium here")
} else {
  const { server } = await serve({ root: import.meta.dirname, port: 0 })
  const address = server?.address()
  const port = typeof address === "object" ? address?.port : undefined
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet]
  })
  const page = await browser.newPage()
  // A limit tells that a page hangs, not that the machine is slow.
  page.setDefaultTimeout(180_000)
  const problems = await check(page, `http://127.0.0.1:${port}/rekindle/`)
  await browser.close()
  server?.close()
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
}
