import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

/** Every specifier that the modules reachable from `entry` import. */
const reachable = (entry: URL, seen = new Map<string, ReadonlyArray<string>>()): ReadonlyArray<string> => {
  if (!seen.has(entry.href)) {
    const specifiers = [...readFileSync(entry, "utf8").matchAll(/^(?:import|export) [^"]*?from "([^"]+)"/gms)].flatMap(
      ([, specifier]) => specifier ?? []
    )
    seen.set(entry.href, specifiers)
    for (const each of specifiers) if (each.startsWith(".")) reachable(new URL(each, entry), seen)
  }
  return [...seen.values()].flat()
}

const src = new URL("../src/", import.meta.url)

describe("the package's index", () => {
  it("reaches neither vitest nor a node builtin", () => {
    const packages = reachable(new URL("index.ts", src)).filter((specifier) => !specifier.startsWith("."))
    assert.deepStrictEqual([...new Set(packages)].toSorted(), [
      "@rekindle/core",
      "effect",
      "effect/crypto",
      "effect/encoding",
      "effect/http"
    ])
  })

  it("leaves the contract suite, which needs vitest, to a subpath", () => {
    assert.include(reachable(new URL("ConnectedAccountsContract.ts", src)), "@effect/vitest")
  })
})
