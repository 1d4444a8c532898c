/**
 * Holds the answers of the service to the schemas that the contract publishes: v3 by its OpenAPI document, v3.1 by the types of its official
 * client.
 *
 * @module
 */
import { Ajv2020, type AnySchemaObject } from "ajv/dist/2020.js"
import { readFileSync } from "node:fs"

interface Scheme {
  readonly properties: {
    readonly authScheme: { readonly enum: Array<string> }
    readonly val: { readonly oneOf: Array<object> }
  }
}

interface Operation {
  readonly status: number
  readonly schema: AnySchemaObject
}

type Operations = Readonly<Record<string, Operation>>

/** As it is published. */
const {
  error,
  operations,
  state
}: {
  readonly operations: Operations
  readonly state: { readonly oneOf: Array<Scheme> }
  readonly error: object
} = JSON.parse(readFileSync(new URL("./published-v3.json", import.meta.url), "utf8"))

/** The operation with more to hold its answer to. */
const and = (operations: Operations, name: string, more: AnySchemaObject): Operations => {
  const { schema, status } = operations[name] ?? { schema: {}, status: 200 }
  return { [name]: { status, schema: { allOf: [schema, more] } } }
}

/** v3. The names that v3.1 adds to an account are not in it. */
const v3: Operations = {
  ...operations,
  ...and(operations, "GET /connected_accounts/{}", {
    not: { anyOf: [{ required: ["alias"] }, { required: ["word_id"] }] }
  })
}

/** A form of `state.val`: its status, and the fields that it requires. */
const form = (status: string, ...fields: ReadonlyArray<string>) => ({
  required: ["status", ...fields],
  properties: { status: { enum: [status] }, ...Object.fromEntries(fields.map((field) => [field, { type: "string" }])) }
})

const laterState = structuredClone(state)
for (const { properties } of laterState.oneOf) {
  if (properties.authScheme.enum.includes("OAUTH2")) properties.val.oneOf.push(form("REVOKED"))
}
laterState.oneOf.push({
  properties: {
    authScheme: { enum: ["S2S_OAUTH2"] },
    val: {
      oneOf: [
        ...["INITIALIZING", "INITIATED", "FAILED", "EXPIRED"].map((status) => form(status)),
        ...["ACTIVE", "INACTIVE"].map((status) => form(status, "access_token"))
      ]
    }
  }
})

const text = { type: "string" }
const textOrNull = { type: ["string", "null"] }
const native = { type: { enum: ["native", "custom"] } }

/** v3 in the names of v3.1: its later-state, and the scheme that it has in addition. */
const later = JSON.parse(
  JSON.stringify(operations)
    .replaceAll('{"$ref":"state"}', '{"$ref":"later-state"}')
    .replaceAll('"DCR_OAUTH"]', '"DCR_OAUTH","S2S_OAUTH2"]')
) as Operations

const named = { required: ["word_id", "alias"], properties: { word_id: textOrNull, alias: textOrNull } }

const subscription = {
  required: ["id", "webhook_url", "version", "enabled_events", "secret", "created_at", "updated_at"],
  properties: {
    id: text,
    webhook_url: text,
    version: { enum: ["V1", "V2", "V3"] },
    enabled_events: { type: "array", items: text },
    secret: text,
    created_at: text,
    updated_at: text
  }
}

/** The endpoints of webhooks, which only v3.1 has. */
const subscriptions: Operations = {
  "POST /webhook_subscriptions": { status: 201, schema: subscription },
  "GET /webhook_subscriptions/{}": { status: 200, schema: subscription },
  "PATCH /webhook_subscriptions/{}": { status: 200, schema: subscription },
  "GET /webhook_subscriptions": {
    status: 200,
    schema: {
      required: ["items", "total_pages", "current_page", "total_items"],
      properties: { items: { type: "array", items: subscription }, next_cursor: textOrNull }
    }
  },
  "DELETE /webhook_subscriptions/{}": {
    status: 200,
    schema: { required: ["success"], properties: { success: { type: "boolean" } } }
  },
  "POST /webhook_subscriptions/{}/rotate_secret": {
    status: 200,
    schema: { required: ["id", "secret"], properties: { id: text, secret: text } }
  },
  "GET /webhook_subscriptions/event_types": {
    status: 200,
    schema: {
      required: ["items"],
      properties: {
        items: { type: "array", items: { required: ["event_type", "description", "supported_versions"] } }
      }
    }
  }
}

/** What the types of v3.1 say besides. */
const v31: Operations = {
  ...later,
  ...subscriptions,
  ...and(later, "GET /connected_accounts/{}", named),
  ...and(later, "GET /connected_accounts", { properties: { items: { items: named } } }),
  ...and(later, "GET /toolkits", { properties: { items: { items: { required: ["type"], properties: native } } } }),
  ...and(later, "GET /toolkits/{}", {
    required: ["type", "composio_managed_auth"],
    properties: { ...native, composio_managed_auth: { type: "array" } }
  }),
  "POST /connected_accounts": {
    status: 201,
    schema: {
      properties: later["POST /connected_accounts"]?.schema["properties"],
      required: ["id", "connectionData", "status", "redirect_url", "redirect_uri"]
    }
  },
  "PATCH /connected_accounts/{}": {
    status: 200,
    schema: {
      required: ["success", "id", "status"],
      properties: { success: { type: "boolean" }, id: text, status: text }
    }
  },
  "POST /connected_accounts/{}/revoke": {
    status: 200,
    schema: {
      required: ["revoked_tokens", "connected_account"],
      properties: {
        revoked_tokens: { type: "array", items: { enum: ["access_token", "refresh_token", "credential"] } },
        connected_account: {
          required: ["id", "status"],
          properties: {
            id: text,
            status: { enum: ["INITIALIZING", "INITIATED", "ACTIVE", "FAILED", "EXPIRED", "INACTIVE", "REVOKED"] }
          }
        }
      }
    }
  }
}

const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addSchema({ $id: "state", ...state })
ajv.addSchema({ $id: "later-state", ...laterState })

const compiled = (operations: Operations) =>
  Object.entries(operations).map(([name, { schema, status }]) => {
    const [method = "", path = ""] = name.split(" ")
    const segments = path.replace("/", "").split("/")
    return { method, segments, status, validate: ajv.compile(schema) }
  })

const versions: Readonly<Record<string, ReturnType<typeof compiled>>> = { v3: compiled(v3), "v3.1": compiled(v31) }
const isError = ajv.compile(error)

/** Undefined, which no schema permits, if it is not JSON. */
const valueOf = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** An answer of the service. */
export interface Answer {
  readonly method: string
  /** The address, or its path and query. */
  readonly url: string
  readonly status: number
  readonly body: string
}

/**
 * What the published schema has against an answer. Empty if there is nothing, or if no schema is published for the address. The callback of a
 * consent answers browsers, with pages.
 */
export const faultOf = ({ body, method, status, url }: Answer): string => {
  const [, version = "", path = ""] = /\/api\/(v3|v3\.1)\/([^?]*)/.exec(url) ?? []
  if (version === "" || path === "callback" || method === "HEAD" || method === "OPTIONS") return ""
  const name = `${method} ${url}: ${status}`
  const value = valueOf(body)
  if (status >= 400) return isError(value) ? "" : `${name}: ${ajv.errorsText(isError.errors)}`
  const segments = path.split("/")
  const operation = versions[version]
    ?.filter((each) => each.method === method && each.segments.length === segments.length)
    .toSorted(
      (one, other) => one.segments.filter((s) => s === "{}").length - other.segments.filter((s) => s === "{}").length
    )
    .find((each) => each.segments.every((segment, index) => segment === "{}" || segment === segments[index]))
  if (operation === undefined) return ""
  if (operation.status !== status) return `${name}: published is ${operation.status}`
  return operation.validate(value) ? "" : `${name}: ${ajv.errorsText(operation.validate.errors)}`
}
