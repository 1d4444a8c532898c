/**
 * What the generated document has to say and the generator cannot know: answers that come from the router and not from an endpoint, the
 * headers that every answer carries, and numbers in headers, which travel as text.
 *
 * @module
 */
import type { OpenApi } from "effect/http-api"

interface Json {
  readonly [key: string]: unknown
}

/** As the generator hands it over. */
type Generated = Parameters<OpenApi.Transform["Service"]>[0]

/** Texts of an operation: of its parameters by name, and of its answers by status. */
export interface Texts {
  readonly parameters: Readonly<Record<string, Json>>
  readonly answers: Readonly<Record<string, string>>
  /** Whether it has a body, which can be too large, too slow, or of the wrong type. */
  readonly takesBody: boolean
}

/** A number in a header is an integer to whoever writes a client, whatever form it travels in. */
export const count = { type: "integer", minimum: 0 }

const seconds = { description: "Seconds to wait before asking again", schema: count }

const requestId = {
  description: "Names this request in our logs; the caller's own if it sent one",
  schema: { type: "string" }
}

/** Answers that no endpoint gives. */
const ofTheRouter: Readonly<Record<string, string>> = { "405": "This address does not answer to this method" }
const ofTheBody: Readonly<Record<string, string>> = {
  "408": "The body did not arrive in time; nothing was done",
  "413": "The body is too large",
  "415": "The body is not application/json"
}

const enveloped = (description: string): Json => ({
  description,
  content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorEnvelope" } } }
})

const withHeaders = (response: Json): Json => ({
  ...response,
  headers: {
    ...(response["headers"] !== undefined && { "retry-after": seconds }),
    "x-request-id": requestId
  }
})

/** Completes an operation. */
export const operation =
  ({ answers, parameters, takesBody }: Texts) =>
  (generated: Generated): Generated => {
    const declared: ReadonlyArray<Json> = generated["parameters"]
    const responses: Readonly<Record<string, Json>> = generated["responses"]
    const extra = Object.entries({ ...ofTheRouter, ...(takesBody && ofTheBody) })
    const all = { ...responses, ...Object.fromEntries(extra.map(([status, text]) => [status, enveloped(text)])) }
    return {
      ...generated,
      // The generator calls every declared body required; this one may be absent.
      ...(takesBody && { requestBody: { ...generated["requestBody"], required: false } }),
      parameters: declared.map((parameter) => ({ ...parameter, ...parameters[String(parameter["name"])] })),
      responses: Object.fromEntries(
        Object.entries(all).map(([status, response]) => [
          status,
          withHeaders({ ...response, description: answers[status] ?? response["description"] })
        ])
      )
    }
  }

/** An open set is documented as what is in it today: a client generated from `string` would lose the names. */
const closed = ({ anyOf, ...rest }: Json): Json | undefined => {
  if (!Array.isArray(anyOf)) return undefined
  const [names, ...others]: ReadonlyArray<Json> = anyOf
  return names?.["enum"] !== undefined && others.every(({ type }) => type === "string")
    ? { ...names, ...rest }
    : undefined
}

/** The blocks of an account that have whatever fields there are. The generator leaves it unsaid, and client generators then see none. */
const open = new Set(["val", "data", "params"])

/** Completes the document. Both sides accept fields they do not know, so that it must not forbid them. */
export const specification = (generated: Generated): Generated =>
  JSON.parse(
    JSON.stringify(generated, (key, value) => {
      if (key === "additionalProperties" && value === false) return undefined
      if (typeof value !== "object" || value === null) return value
      return open.has(key) && value.type === "object"
        ? { ...value, additionalProperties: true }
        : (closed(value) ?? value)
    })
  )
