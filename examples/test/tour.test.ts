import { assert, describe, it } from "@effect/vitest"
import { fileURLToPath } from "node:url"
import { node } from "./support/run.ts"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

/** For each example, a line of its output and the number of its claims. */
const examples: Readonly<Record<string, { readonly says: RegExp; readonly claims: number }>> = {
  tour: {
    says: /50 refreshes at once spend one grant, and all of them are answered \(the provider counted 1\)/,
    claims: 15
  },
  compose: { says: /ask the user to visit https:/, claims: 1 },
  "self-hosted-server": { says: /"slug":"connected_account_not_found"/, claims: 2 },
  gateway: { says: /through the gateway: .* Ready/, claims: 2 },
  "custom-scheme": { says: /renews an account of a custom scheme/, claims: 2 },
  "unit-test": { says: /four answers, and no network/, claims: 1 },
  "standard-pipeline": { says: /retried after TransportError and Unavailable/, claims: 1 },
  breaker: { says: /a probe goes through, succeeds, and closes it/, claims: 3 },
  "ambiguous-timeout": { says: /the backend saw: refresh, get/, claims: 2 },
  "with-refresh": { says: /ten calls succeed, on one refresh/, claims: 4 },
  "authorized-client": { says: /ten requests succeed, on one refresh/, claims: 3 },
  mailer: { says: /ten mails go out, on one refresh/, claims: 5 },
  promises: { says: /Next\.js routes: ada follows the link, and comes back connected/, claims: 9 },
  "await-active": { says: /the wait ended with the account ACTIVE/, claims: 1 }
}

// Half of a run is waiting.
describe.concurrent("start", () => {
  it.each(Object.keys(examples))("%s shows what it claims, exits 0 and says nothing else", async (name) => {
    const { code, stderr, stdout } = await node(main, ...(name === "tour" ? [] : [name]))
    assert.isTrue(stdout.startsWith(`${name}: `))
    assert.strictEqual(code, 0, stdout + stderr)
    assert.strictEqual(stderr, "")
    assert.match(stdout, examples[name]?.says ?? /^$/)
    assert.notInclude(stdout, "✗")
    assert.lengthOf(stdout.match(/^ {2}✓ /gm) ?? [], examples[name]?.claims ?? 0)
  })

  it("with an unknown name lists the names and exits 1", async () => {
    const { code, stderr } = await node(main, "nonsense")
    assert.strictEqual(code, 1)
    const names = Array.from(stderr.matchAll(/^ {2}(\S+)/gm), ([, name]) => name)
    assert.deepStrictEqual(names, Object.keys(examples))
  })

  it("exits 1 when an example cannot even be loaded, and says why", async () => {
    const hook = `import { registerHooks } from "node:module"
      registerHooks({
        resolve: (specifier, context, next) => {
          if (specifier.endsWith("/compose.ts")) throw new Error("the example is gone")
          return next(specifier, context)
        }
      })`
    const { code, stderr } = await node("--import", `data:text/javascript,${encodeURIComponent(hook)}`, main, "compose")
    assert.strictEqual(code, 1)
    assert.match(stderr, /✗ Error: the example is gone/)
  })

  it("exits 1 when a claim is not so, says which, and goes on with the rest", async () => {
    // The person's browser goes through `fetch`: without it nobody can consent.
    const noBrowser = "globalThis.fetch = () => Promise.reject(new Error('the browser is gone'))"
    const { code, stdout } = await node("--import", `data:text/javascript,${encodeURIComponent(noBrowser)}`, main)
    assert.strictEqual(code, 1)
    assert.match(stdout, /✗ a new account: refresh answers a link.*/)
    assert.match(stdout, /✓ a valid API key is accepted/)
  })
})
