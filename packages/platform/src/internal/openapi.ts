/**
 * Completes the generated OpenAPI document: answers of the router, the headers of every answer, and headers that hold numbers.
 *
 * @module
 */
import type { OpenApi } from "effect/http-api"

interface Json {
  readonly [key: string]: unknown
}

/** The generator's output. */
type Generated = Parameters<OpenApi.Transform["Service"]>[0]

/** The texts of an operation: for its parameters by name, and for its answers by status. */
export interface Texts {
  readonly parameters: Readonly<Record<string, Json>>
  readonly answers: Readonly<Record<string, string>>
  /** Whether it has a body, and therefore the answers for one that is too large, too slow, or of the wrong type. */
  readonly takesBody: boolean | "optional"
}

/** A number in a header. It is documented as an integer, although a header is text. */
export const count = { type: "integer", minimum: 0 }

const seconds = { description: "Seconds to wait before the next attempt", schema: count }

const requestId = {
  description: "The id of this request in the server's log; the caller's own if it sent one",
  schema: { type: "string" }
}

/** Answers that come from the router and not from an endpoint. */
const ofTheRouter: Readonly<Record<string, string>> = { "405": "This address does not support this method" }
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
    const extra = Object.entries({ ...ofTheRouter, ...(takesBody !== false && ofTheBody) })
    const all = { ...responses, ...Object.fromEntries(extra.map(([status, text]) => [status, enveloped(text)])) }
    return {
      ...generated,
      // The generator marks every body as required.
      ...(takesBody !== false && {
        requestBody: { ...generated["requestBody"], required: takesBody !== "optional" }
      }),
      parameters: declared.map((parameter) => ({ ...parameter, ...parameters[String(parameter["name"])] })),
      responses: Object.fromEntries(
        Object.entries(all).map(([status, response]) => [
          status,
          withHeaders({ ...response, description: answers[status] ?? response["description"] })
        ])
      )
    }
  }

/** An open set of strings is documented as its known members. A client generated from `string` would lose their names. */
const closed = ({ anyOf, ...rest }: Json): Json | undefined => {
  if (!Array.isArray(anyOf)) return undefined
  const [names, ...others]: ReadonlyArray<Json> = anyOf
  return names?.["enum"] !== undefined && others.every(({ type }) => type === "string")
    ? { ...names, ...rest }
    : undefined
}

/** The blocks of an account that may have any fields. The generator does not say so, and generated clients would have none. */
const open = new Set(["val", "data", "params"])

/** Completes the document. Both sides accept unknown fields, so the document must not forbid them. */
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
