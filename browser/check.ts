/**
 * Uses the pages of the service in Chromium, as people and attackers do: links, the landing page, the operator's page. Each page is looked at
 * narrow and wide, light and dark. It fails on an error of a page, and on a page that is wider than the screen.
 *
 * With `SCREENSHOTS=<folder>` it keeps a picture of each.
 *
 * **Gotchas**
 *
 * The browser is the machine's own Chromium. If there is none, the output says that it was left out.
 *
 * @module
 */
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { type BrowserContext, chromium, type Page } from "playwright-core"

const folder = process.env["SCREENSHOTS"]

const views = [
  { name: "narrow-light", width: 360, height: 740, colorScheme: "light" },
  { name: "narrow-dark", width: 360, height: 740, colorScheme: "dark" },
  { name: "wide-light", width: 1280, height: 900, colorScheme: "light" },
  { name: "wide-dark", width: 1280, height: 900, colorScheme: "dark" }
] as const

const findBrowser = (): string | undefined => {
  try {
    const find = "command -v chromium || command -v chromium-browser || command -v google-chrome"
    return execFileSync("/bin/sh", ["-c", find], { encoding: "utf8" }).trim()
  } catch {
    return undefined
  }
}

/** Looks at a page in every view. */
const look = async (page: Page, name: string) => {
  for (const { colorScheme, height, name: view, width } of views) {
    await page.setViewportSize({ width, height })
    await page.emulateMedia({ colorScheme })
    const found = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(found <= width, `${name} is ${found} wide on a screen of ${width}`)
    if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}-${view}.png`), fullPage: true })
  }
}

interface Given {
  /** The address of the service. */
  readonly origin: string
  readonly page: Page
  /** Another browser. */
  readonly elsewhere: () => Promise<Page>
  /** Makes a link. */
  readonly link: (parameters?: Readonly<Record<string, string>>) => Promise<string>
}

const heading = (page: Page) => page.locator("h1").innerText()
const submit = (page: Page) => page.locator("form button").click()
/** Chooses a person on the provider's page. */
const choose = (page: Page, name: string) => page.getByRole("link", { name, exact: true }).click()

const scenarios: Readonly<Record<string, (given: Given) => Promise<void>>> = {
  "a person connects an account, and the link is spent": async ({ link, page }) => {
    const address = await link({ alias: "Work notes" })
    await page.goto(address)
    await look(page, "connect")
    assert.equal(await heading(page), "Connect Notes")
    await submit(page)
    await choose(page, "Ann")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "Connected")
    await look(page, "connected")
    await page.goto(address)
    assert.equal(await heading(page), "Already connected")
    await look(page, "spent")
  },

  "a person refuses, goes back, and connects after all": async ({ link, page }) => {
    const address = await link()
    await page.goto(address)
    await submit(page)
    await choose(page, "nobody")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "Not connected")
    await look(page, "denied")
    await page.goto(address)
    await submit(page)
    await page.waitForURL(/interaction/)
    // The page that sends the browser on is not in the history.
    await page.goBack()
    assert.equal(await heading(page), "Connect Notes")
    await submit(page)
    await choose(page, "Ann")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "Connected")
  },

  "another account is refused": async ({ link, origin, page }) => {
    const user = "identity@example.com"
    await page.goto(await link({ user }))
    await submit(page)
    await choose(page, "Ann")
    await page.waitForURL(/callback/)
    const again = await fetch(`${origin}/test/again?user=${user}`)
    await page.goto(String(await again.text()))
    await submit(page)
    await choose(page, "Bob")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "That was another account")
    await look(page, "another-account")
  },

  "a person enters an API key, with the keyboard alone": async ({ link, page }) => {
    await page.goto(await link({ config: "key", callback: "http://127.0.0.1:1/done" }))
    await look(page, "key")
    await page.getByLabel("API key").focus()
    await page.keyboard.type("not-the-key")
    await page.keyboard.press("Enter")
    await page.getByRole("alert").waitFor()
    await look(page, "key-refused")
    await page.getByLabel("API key").focus()
    await page.keyboard.type("key-that-works")
    await page.keyboard.press("Tab")
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle)
    assert.equal(outline, "solid")
    const request = page.waitForRequest(/127\.0\.0\.1:1\/done\?status=success/)
    await page.keyboard.press("Enter")
    await request
  },

  "a double click and two tabs end in one connected account": async ({ link, origin, page }) => {
    const user = "twice@example.com"
    const address = await link({ user })
    const second = await page.context().newPage()
    await page.goto(address)
    // The second tab was opened before the browser had the first one's cookie, and replaces it.
    await page.context().clearCookies()
    await second.goto(address)
    await submit(page)
    assert.match(await page.getByRole("alert").innerText(), /once more/)
    await page.locator("form button").dblclick()
    await choose(page, "Ann")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "Connected")
    await submit(second)
    assert.equal(await heading(second), "Already connected")
    await page.reload()
    assert.equal(await heading(page), "Connected")
    assert.deepEqual(await (await fetch(`${origin}/test/statuses?user=${user}`)).json(), ["ACTIVE"])
    await second.close()
  },

  "a link that was taken in one browser is no use in another": async ({ elsewhere, link, page }) => {
    const address = await link()
    await page.goto(address)
    const request = page.waitForRequest(/\/auth\?/)
    await submit(page)
    const other = await elsewhere()
    await other.goto(address)
    assert.equal(await heading(other), "This link is in use")
    await look(other, "taken")
    // The provider's page, passed on.
    await other.goto((await request).url())
    await choose(other, "Bob")
    await other.waitForURL(/callback/)
    assert.equal(await heading(other), "This link does not work any more")
    await look(other, "lapsed")
  },

  "a page cannot be framed": async ({ link, origin, page }) => {
    await page.goto(await link())
    const titles = { [page.url()]: "Connect Notes", [`${origin}/operator`]: "Accounts" }
    const framed = async (source: string, title: string) => {
      await page.goto("about:blank")
      await page.setContent(`<iframe ${source}></iframe>`)
      return page.frameLocator("iframe").getByRole("heading", { name: title }).count()
    }
    for (const [address, title] of Object.entries(titles)) {
      assert.equal(await framed(`src="${address}"`, title), 0)
    }
    assert.equal(await framed(`srcdoc="<h1>Accounts</h1>"`, "Accounts"), 1)
  },

  "an operator sees what does not work, and makes a link": async ({ elsewhere, origin, page }) => {
    await fetch(`${origin}/test/failing`)
    await page.goto(`${origin}/operator`)
    await look(page, "sign-in")
    await page.getByLabel("Admin key").fill("guessed")
    await page.keyboard.press("Enter")
    await page.getByRole("alert").waitFor()
    await look(page, "sign-in-refused")
    await page.getByLabel("Admin key").fill("admin")
    await page.getByRole("button", { name: "Sign in" }).click()
    await page.locator("#content").waitFor()
    await look(page, "operator")
    assert.equal(await page.title(), "Rekindle: accounts")
    assert.ok((await page.locator("#circuits tbody").innerText()).includes("down"))
    const stored = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])
    )
    assert.ok(!stored.includes("admin"))
    const row = page.locator("#failures tbody tr").filter({ hasText: "mailer" })
    await row.getByRole("button", { name: /^Retry/ }).click()
    await row.getByText("It is EXPIRED now.").waitFor()
    await row.getByRole("button", { name: /^Link/ }).click()
    const address = await row.getByRole("textbox").inputValue()
    await look(page, "operator-link")
    const owner = await elsewhere()
    await owner.goto(address)
    assert.equal(await heading(owner), "Connect Mailer")
    assert.equal(await owner.title(), "Connect Mailer")
    await look(owner, "hostile")
    await owner.getByLabel("API key").fill("key-that-works")
    await submit(owner)
    await owner.getByRole("heading", { name: "Connected" }).waitFor()
    await page.getByRole("button", { name: "Load again" }).click()
    await page.getByText("Loaded again").waitFor()
    assert.equal(await row.count(), 0)
    await page.reload()
    assert.ok(await page.getByLabel("Admin key").isVisible())
  },

  "rekindle serve, from an empty directory to a verified webhook and a revoked key": async ({ page }) => {
    const { address, server } = await start("journeyProcess.ts")
    const ended = once(server, "exit")
    await page.goto(address)
    await submit(page)
    await choose(page, "Ann")
    await page.waitForURL(/callback/)
    assert.equal(await heading(page), "Connected")
    server.stdin.end("connected\n")
    assert.equal((await ended)[0], 0)
  }
}

/** Starts a program of the tests of the command line. The first line that it prints is an address. */
const start = async (program: string) => {
  const server = spawn(process.execPath, [join(import.meta.dirname, "../packages/cli/test/support", program)], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  const [address] = await once(createInterface(server.stdout), "line")
  return { server, address: String(address) }
}

/** Runs every scenario in a browser of its own. Returns how many failed. */
const run = async (executablePath: string, origin: string) => {
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet]
  })
  let failed = 0
  for (const [name, scenario] of Object.entries(scenarios)) {
    const problems: Array<string> = []
    const contexts: Array<BrowserContext> = []
    const elsewhere = async () => {
      const context = await browser.newContext()
      contexts.push(context)
      const page = await context.newPage()
      // A limit tells that a page hangs, not that the machine is slow.
      page.setDefaultTimeout(60_000)
      page.on("pageerror", ({ message }) => problems.push(message))
      return page
    }
    const link = async (parameters: Readonly<Record<string, string>> = {}) => {
      const response = await fetch(`${origin}/test/link?${new URLSearchParams(parameters)}`)
      const { url }: { readonly url: string } = JSON.parse(await response.text())
      return url
    }
    try {
      await scenario({ origin, page: await elsewhere(), elsewhere, link })
    } catch (error) {
      problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
    for (const context of contexts) await context.close()
    console.log(`${problems.length === 0 ? "ok" : "failed"}: ${name}`)
    for (const problem of problems) console.error(problem)
    if (problems.length > 0) failed++
  }
  await browser.close()
  return failed
}

const executablePath = findBrowser()
if (executablePath === undefined) {
  console.log("The pages were not used in a browser: no Chromium here")
} else {
  const { address: origin, server } = await start("pagesServer.ts")
  const failed = await run(executablePath, origin)
  server.kill()
  console.log(
    `${Object.keys(scenarios).length} scenarios, ${views.map(({ name }) => name).join(", ")}: ${failed} failed`
  )
  if (failed > 0) process.exitCode = 1
}
