import { assert, describe, it } from "@effect/vitest"
import { RekindleApi } from "@rekindle/platform"
import { OpenApi } from "effect/http-api"

/** The published contract, written down by hand: what the generated document has to say. */
const contract = {
  method: "post",
  parameters: [
    { in: "path", name: "nanoid", required: true },
    { in: "query", name: "redirect_url", required: false },
    { in: "header", name: "idempotency-key", required: false },
    { in: "header", name: "x-rekindle-timeout-ms", required: false },
    { in: "header", name: "x-rekindle-token-refused", required: false }
  ],
  body: { required: false, properties: { redirect_url: "string", validate_credentials: "boolean" }, mandatory: [] },
  success: {
    status: "200",
    mandatory: ["id", "redirect_url", "status"],
    statuses: ["INITIALIZING", "INITIATED", "ACTIVE", "FAILED", "EXPIRED", "INACTIVE", "REVOKED"]
  },
  published: ["400", "401", "403", "404", "500", "501"],
  beyond: ["429", "503"],
  ofTheRouter: ["405", "408", "413", "415"],
  envelope: {
    message: "string",
    code: "number",
    slug: "string",
    status: "number",
    request_id: "string",
    suggested_fix: "string",
    errors: "array"
  },
  envelopeMandatory: ["code", "message", "status"]
}

interface Json {
  readonly [key: string]: Json
}

const spec: Json = JSON.parse(JSON.stringify(OpenApi.fromApi(RekindleApi.Api)))

const at = (json: Json | undefined, ...path: ReadonlyArray<string>): Json => {
  const next = path.reduce<Json | undefined>((node, key) => resolve(node)?.[key], json)
  const found = resolve(next)
  if (found === undefined) throw new Error(`nothing at ${path.join(".")}`)
  return found
}

/** Follows a `$ref` into the components. */
const resolve = (node: Json | undefined): Json | undefined => {
  const ref: unknown = node?.["$ref"]
  return typeof ref === "string" ? at(spec, ...ref.slice(2).split("/")) : node
}

const sorted = (json: unknown): ReadonlyArray<string> => (Array.isArray(json) ? json.map(String).toSorted() : [])

const types = (properties: Json) =>
  Object.fromEntries(Object.keys(properties).map((name): [string, unknown] => [name, at(properties, name)["type"]]))

describe.each(["/api/v3", "/api/v3.1"])("the OpenAPI document under %s", (prefix) => {
  const path = at(spec, "paths", `${prefix}/connected_accounts/{nanoid}/refresh`)
  const operation = at(path, contract.method)

  it("serves refresh as POST and nothing else", () => {
    assert.deepStrictEqual(Object.keys(path), [contract.method])
  })

  it("takes the key in the x-api-key header", () => {
    assert.deepEqual(at(operation, "security"), [{ apiKey: [] }] as never)
    assert.deepEqual(at(spec, "components", "securitySchemes", "apiKey"), {
      type: "apiKey",
      name: "x-api-key",
      in: "header"
    } as never)
  })

  it("takes exactly the parameters of the contract", () => {
    const parameters: ReadonlyArray<Json> = Object.values(at(operation, "parameters"))
    const shape = parameters.map((parameter) => ({
      in: parameter["in"],
      name: parameter["name"],
      required: parameter["required"]
    }))
    assert.sameDeepMembers<unknown>(shape, contract.parameters)
  })

  it("takes an optional body with two optional fields", () => {
    const body = at(operation, "requestBody")
    const schema = at(body, "content", "application/json", "schema")
    assert.strictEqual<unknown>(body["required"], contract.body.required)
    assert.deepStrictEqual(types(at(schema, "properties")), contract.body.properties)
    assert.deepStrictEqual(sorted(schema["required"]), contract.body.mandatory)
    assert.notProperty(schema, "additionalProperties")
  })

  it("answers 200 with three required fields, redirect_url a string or null", () => {
    const schema = at(operation, "responses", contract.success.status, "content", "application/json", "schema")
    assert.deepStrictEqual(sorted(schema["required"]), contract.success.mandatory)
    assert.deepStrictEqual(Object.keys(at(schema, "properties")).toSorted(), contract.success.mandatory)
    assert.deepEqual(at(schema, "properties", "status", "enum"), contract.success.statuses as never)
    assert.deepEqual(at(schema, "properties", "redirect_url", "anyOf"), [{ type: "string" }, { type: "null" }] as never)
  })

  it("answers the failures of the contract, our two, those of the router, and no others", () => {
    const statuses = Object.keys(at(operation, "responses"))
    const failures = [...contract.published, ...contract.beyond, ...contract.ofTheRouter]
    assert.sameMembers(statuses, [contract.success.status, ...failures])
  })

  it.each([...contract.published, ...contract.beyond, ...contract.ofTheRouter])(
    "answers %s with the envelope",
    (status) => {
      const response = at(operation, "responses", status)
      const error = at(response, "content", "application/json", "schema", "properties", "error")
      assert.deepStrictEqual(types(at(error, "properties")), contract.envelope)
      assert.deepStrictEqual(sorted(error["required"]), contract.envelopeMandatory)
      assert.strictEqual("retry-after" in (response["headers"] ?? {}), contract.beyond.includes(status))
    }
  )

  const count: unknown = { type: "integer", minimum: 0 }
  const parameter = (of: Json, name: string): Json => {
    const found = Object.values(at(of, "parameters")).find((parameter) => String(parameter["name"]) === name)
    if (found === undefined) throw new Error(`no parameter ${name}`)
    return found
  }

  it("documents a number in a header as an integer from 0", () => {
    assert.deepStrictEqual<unknown>(at(parameter(operation, "x-rekindle-timeout-ms"), "schema"), count)
    for (const status of contract.beyond) {
      assert.deepStrictEqual<unknown>(at(operation, "responses", status, "headers", "retry-after", "schema"), count)
    }
  })

  const read = at(spec, "paths", `${prefix}/connected_accounts/{nanoid}`, "get")

  it("has the request id in every answer", () => {
    for (const response of [operation, read].flatMap((each) => Object.values(at(each, "responses")))) {
      assert.property(response["headers"] ?? {}, "x-request-id")
    }
  })

  it("has the published example of an id, and the published default", () => {
    for (const each of [operation, read]) {
      assert.strictEqual<unknown>(parameter(each, "nanoid")["example"], "con_1a2b3c4d5e6f")
    }
    const body = at(operation, "requestBody", "content", "application/json", "schema")
    assert.strictEqual<unknown>(at(body, "properties", "validate_credentials")["default"], false)
  })

  it("describes the failures of a read as such", () => {
    const texts = Object.entries(at(read, "responses")).map(([status, { description }]) => `${status} ${description}`)
    assert.notMatch(texts.join(), /refresh|body/)
    assert.sameMembers(Object.keys(at(read, "responses")), ["200", ...contract.published, ...contract.beyond, "405"])
  })

  it("describes an account in the published form, with the names of statuses and schemes", () => {
    const schema = at(read, "responses", "200", "content", "application/json", "schema")
    const published = { v3: [], "v3.1": ["alias", "word_id"] }[prefix.slice(5)] ?? []
    assert.includeMembers([...sorted(schema["required"])], ["data", "params", "user_id", ...published])
    assert.strictEqual("alias" in at(schema, "properties"), published.length > 0)
    assert.includeMembers(
      [...sorted(at(schema, "properties", "auth_config")["required"])],
      ["auth_scheme", "is_composio_managed", "is_disabled"]
    )
    const statuses = contract.success.statuses.toSorted()
    const val = at(schema, "properties", "state", "properties", "val")
    for (const status of [at(schema, "properties", "status"), at(val, "properties", "status")]) {
      assert.deepStrictEqual(sorted(status["enum"]), statuses)
    }
    assert.include([...sorted(at(schema, "properties", "state", "properties", "authScheme")["enum"])], "OAUTH2")
    for (const open of [val, at(schema, "properties", "data"), at(schema, "properties", "params")]) {
      assert.strictEqual<unknown>(open["additionalProperties"], true)
    }
  })
})

it("the OpenAPI document names its own server", () => {
  assert.deepStrictEqual<unknown>(spec["servers"], [{ url: "/" }])
})
