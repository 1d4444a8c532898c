/** Compares the table of Failures.bySlug with the code: the table has exactly the slugs that the code uses, with their statuses. */
import { assert, describe, it } from "@effect/vitest"
import { RefreshFailed, Failures } from "@rekindle/core"
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const statuses = new Map([
  ["InvalidRequest", 400],
  ["Unauthorized", 401],
  ["Forbidden", 403],
  ["RateLimited", 429],
  ["AccountNotFound", 404],
  ["RefreshFailed", 500],
  ["failed", 500],
  ["RefreshUnsupported", 501],
  ["Unavailable", 503],
  ["unavailable", 503]
])

const sources = globSync("packages/{cli,core,engine,platform}/src/**/*.ts", { cwd: root })
  .filter((file) => !file.endsWith("core/src/Failures.ts"))
  .map((file) => readFileSync(`${root}/${file}`, "utf8").replaceAll(/^\s*\*.*$/gm, ""))

/** Each slug in the code, with the class or function that makes its error. */
const made = sources.flatMap((source) => [
  ...Array.from(source.matchAll(/\b(failed|unavailable|undecided)\(\s*"([a-z_]+)"/g), ([, by = "", slug = ""]) => ({
    by,
    slug
  })),
  ...Array.from(
    source.matchAll(/new ([A-Z]\w+)\(\{(?:[^{}]|\{[^{}]*\})*?\bslug: "([a-z_]+)"/g),
    ([, by = "", slug = ""]) => ({ by, slug })
  ),
  ...Array.from(source.matchAll(/\bslug: "([a-z_]+)"/g), ([, slug = ""]) => ({ by: "", slug }))
])

const dispositionsOf = (slug: string): Readonly<Record<number, string>> | undefined =>
  Object.entries(Failures.bySlug).find(([name]) => name === slug)?.[1].dispositions

describe("the table of Failures.bySlug", () => {
  it("has every slug of the code, with its status", () => {
    assert.isAbove(made.length, 40)
    for (const { by, slug } of made) {
      const dispositions = dispositionsOf(slug)
      assert.isDefined(dispositions, slug)
      const status = statuses.get(by)
      if (status !== undefined) assert.property(dispositions, String(status), `${slug} by ${by}`)
    }
  })

  it("has no slug that the code does not use", () => {
    const text = sources.join("\n")
    for (const slug of Object.keys(Failures.bySlug)) assert.include(text, `"${slug}"`)
  })

  it("states for each 500 whether something may have been done", () => {
    const disposition = (slug?: string) =>
      new RefreshFailed({ message: "", ...(slug === undefined ? {} : { slug }) }).disposition
    for (const slug of ["refresh_refused", "auth_config_invalid", "credential_unreadable", "refresh_impossible"])
      assert.strictEqual(disposition(slug), "rejected")
    for (const slug of ["provider_silent", "commit_pending", "a_foreign_slug", undefined])
      assert.strictEqual(disposition(slug), "ambiguous")
  })
})
