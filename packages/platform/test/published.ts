/**
 * Holds what a server answers to the schemas that the contract publishes. Every test that asks a server does it through this.
 *
 * @module
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js"
import { readFileSync } from "node:fs"

interface Scheme {
  readonly properties: {
    readonly authScheme: { readonly enum: Array<string> }
    readonly val: { readonly oneOf: Array<object> }
  }
}

/** v3, as it is published. */
const v3: {
  readonly account: {
    readonly required: Array<string>
    readonly properties: {
      readonly [name: string]: object
      readonly auth_config: { readonly properties: { readonly auth_scheme: { readonly enum: Array<string> } } }
      readonly state: { readonly oneOf: Array<Scheme> }
    }
  }
  readonly refresh: object
  readonly error: object
} = JSON.parse(readFileSync(new URL("./fixtures/published-v3.json", import.meta.url), "utf8"))

/** A form of `state.val`: its status, and the fields that it requires. */
const form = (status: string, ...fields: ReadonlyArray<string>) => ({
  required: ["status", ...fields],
  properties: { status: { enum: [status] }, ...Object.fromEntries(fields.map((field) => [field, { type: "string" }])) }
})

/** An account of v3.1, as the types of its official client have it: two names, a scheme and a form of OAUTH2 more than in v3. */
const later = structuredClone(v3.account)
later.required.push("word_id", "alias")
later.properties.auth_config.properties.auth_scheme.enum.push("S2S_OAUTH2")
for (const { properties } of later.properties.state.oneOf) {
  if (properties.authScheme.enum.includes("OAUTH2")) properties.val.oneOf.push(form("REVOKED"))
}
later.properties.state.oneOf.push({
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
const nullableString = { type: ["string", "null"] }

const ajv = new Ajv2020({ strict: false, allErrors: true })
const validators: Readonly<Record<string, ValidateFunction>> = {
  refresh: ajv.compile(v3.refresh),
  error: ajv.compile(v3.error),
  "v3 account": ajv.compile({ ...v3.account, not: { anyOf: [{ required: ["alias"] }, { required: ["word_id"] }] } }),
  "v3.1 account": ajv.compile({ allOf: [later, { properties: { word_id: nullableString, alias: nullableString } }] })
}

/** What the schema has against the answer; nothing for an address of which none is published. */
export const faultsOf = (url: string, method: string, { status, text }: { status: number; text: string }): string => {
  const [, version, refresh] = /\/api\/(v3(?:\.1)?)\/connected_accounts\/[^/?]*(\/refresh)?(?:\?|$)/i.exec(url) ?? []
  if (version === undefined || method === "HEAD" || method === "OPTIONS") return ""
  const name = status >= 400 ? "error" : refresh === undefined ? `${version} account` : "refresh"
  const validate = validators[name]
  return validate === undefined || validate(JSON.parse(text)) ? "" : `${name}: ${ajv.errorsText(validate.errors)}`
}
