import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { expect } from "vitest"
import { table } from "../../../engine/test/docs/markdown.ts"
import { AuthorizationServer } from "../../../engine/test/support/AuthorizationServer.ts"
import { type Generation, generations } from "./methods.ts"
import { layer, Service } from "./service.ts"

/** Parts of a client that are not methods of the API. */
const machinery =
  /^(?:withOptions|get|post|patch|put|delete|request|fetch|[a-z]+(?:[A-Z]\w*)?(?:Headers|Query|URL|Body|Request|Options|Agent|Key|Error|Retry|Timeout|Millis))$/

/** Methods of the larger SDK that are private in its types, or call nothing. */
const privately = new Set([
  "authConfigs.getClient",
  "toolkits.getToolkits",
  "toolkits.getToolkitBySlug",
  "toolkits.getAuthConfigFields"
])

/** The parts of the larger SDK that are about connections. Its others execute tools, which is not what this service does. */
const ofConnections = ["authConfigs", "connectedAccounts", "toolkits"]

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

/** The methods of a client by their paths: the functions of its resources, and of the resources below them. */
const methodsOf = (resource: object, path = ""): ReadonlyArray<readonly [string, object]> => {
  const names = new Set<string>()
  for (let at = resource; at !== Object.prototype && at !== null; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name)
  }
  return [...names].flatMap((name): ReadonlyArray<readonly [string, object]> => {
    if (name === "constructor" || name.startsWith("_")) return []
    const value: unknown = Reflect.get(resource, name)
    if (typeof value === "function") return /^[a-z]/.test(name) ? [[`${path}${name}`, resource]] : []
    const isResource = isObject(value) && Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)
    return isResource && !/client|logger/i.test(name) && path.split(".").length < 5
      ? methodsOf(value, `${path}${name}.`)
      : []
  })
}

const apiOf = ({ make, title }: Generation, baseURL: string) =>
  methodsOf(make(baseURL)).filter(([method]) => {
    const [resource = "", ...rest] = method.split(".")
    if (rest.length === 0) return !machinery.test(method) && !title.includes("core")
    return !title.includes("core") || (ofConnections.includes(resource) && !privately.has(method))
  })

/** Stands for every path parameter that a method takes out of an object. */
const anything = { session_id: "s1", nano_id: "n1", slug: "x1", nanoid: "n1", entity_type: "x1", mount_id: "m1" }

interface Failure {
  readonly name: string
  readonly status: number | undefined
  readonly slug: string | undefined
}

/** The failure of a call: the class, and the status and slug that it or its cause has. */
const failureOf = (what: string, call: () => PromiseLike<unknown>) =>
  Effect.promise(async (): Promise<Failure> => {
    try {
      await call()
    } catch (error) {
      assert.instanceOf(error, Error)
      const own: unknown = Reflect.get(error, "status")
      const carrier: object = typeof own === "number" ? error : isObject(error.cause) ? error.cause : error
      const status: unknown = Reflect.get(carrier, "status")
      const body: unknown = Reflect.get(carrier, "error")
      const inner: unknown = isObject(body) ? (Reflect.get(body, "error") ?? body) : undefined
      const slug: unknown = isObject(inner) ? Reflect.get(inner, "slug") : undefined
      return {
        name: error.constructor.name,
        status: typeof status === "number" ? status : undefined,
        slug: typeof slug === "string" ? slug : undefined
      }
    }
    return assert.fail(`${what} does not fail`)
  })

const shown = ({ name, status }: Failure) => (status === undefined ? `\`${name}\`` : `\`${name}\` (${status})`)

const rowsOf = Effect.fnUntraced(function* (generation: Generation) {
  const service = yield* Service
  const provider = yield* AuthorizationServer
  const served = generation.served({
    baseURL: service.url,
    provider,
    refreshToken: () => Effect.runPromise(provider.mintRefreshToken("ada")).then(({ refreshToken }) => refreshToken),
    consent: (link) => Effect.runPromise(service.consent(link))
  })
  const rows: Array<readonly [string, string, string]> = []
  for (const { fails, method, works } of served) {
    if (works !== undefined) yield* Effect.promise(async () => works())
    rows.push([method, works === undefined ? "refused" : "served", shown(yield* failureOf(method, fails))])
  }
  const names = new Set(served.map(({ method }) => method))
  for (const [method, resource] of apiOf(generation, service.url)) {
    if (names.delete(method)) continue
    const before = service.requests()
    const call: unknown = Reflect.get(resource, method.split(".").at(-1) ?? "")
    assert.isFunction(call)
    const failure = yield* failureOf(method, () =>
      Reflect.apply(call as () => Promise<unknown>, resource, ["x1", anything, anything])
    )
    assert.strictEqual(service.requests(), before + 1, `${method} asks once`)
    assert.deepInclude(failure, { status: 501, slug: "not_served" }, method)
    rows.push([method, "501", shown(failure)])
  }
  assert.deepStrictEqual([...names], [], "every served method is one of the client's")
  return `## ${generation.title}\n\n${table(
    ["method", "answer", "a failure raises"],
    rows.toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([method, ...rest]) => [`\`${method}\``, ...rest])
  )}`
})

const introduction = `<!-- Written by the test packages/cli/test/surface/methods.test.ts (\`vitest -u\`). Change the test, not this page. -->

# Compatibility

The service answers the official clients of the hosted service, unchanged. Give them its address and one of its keys:

\`\`\`
new Composio({ baseURL: "https://rekindle.example.com", apiKey: "…" })
\`\`\`

Each table has every method of a client. Each was called on a service with a real engine and a real authorization server. A method is _served_, or it ends
in a 501 with the slug \`not_served\`. The last column has the error of the client for one failure: an unknown id, a wrong field, or a state that does not
permit the call. Its number is the status of the answer.

What differs from the hosted service:

- Auth configs have a client of your own at the provider (\`use_custom_auth\`). \`use_composio_managed_auth\` is a 501.
- A toolkit that is not in the catalogue takes its endpoints among the \`credentials\`: \`authorization_url\`, \`token_url\`, or \`issuer\`. So may
  other settings of the scheme, \`hosts\` and \`api_hosts\`.
- An auth config with accounts is not deleted (400). Deleted accounts are erased.
- Accounts belong to one person each. \`account_type: "SHARED"\` is a 501, and a list of others is refused (400).
- A list with a filter reads several values from one parameter with commas, or from a repeated one.`

it.layer(layer, { excludeTestServices: true })("the methods of the official clients", (it) => {
  it.effect("are served, or answered 501; failures raise the client's own classes", () =>
    Effect.gen(function* () {
      const tables = yield* Effect.forEach(generations, rowsOf)
      const page = `${[introduction, ...tables].join("\n\n")}\n`
      // The rule does not see that this is within a test.
      // oxlint-disable-next-line vitest/no-standalone-expect
      yield* Effect.promise(() => expect(page).toMatchFileSnapshot("../../../../docs/compatibility.md"))
    })
  )
})
