/**
 * The bridge between `oauth4webapi`, which builds requests for `fetch`, and the {@link Egress}, which sends them.
 *
 * @module
 */
import type { Egress, EgressRequest } from "../egress/Egress.ts"
import type { Observation } from "../answer/Verdict.ts"
import type { TokenEndpointSettings } from "./TokenEndpoint.ts"

/** A request as `oauth4webapi` builds it. */
export interface BuiltRequest {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: unknown
}

/** An observed answer, as opposed to a request without one. */
export type Answered = Extract<Observation, { readonly _tag: "Answer" }>

/** Rejects the `fetch` of `oauth4webapi` once its request is built. Nothing reads it. */
export const stopped = new Error("the request is built")

/** The request for the egress, with its body in the encoding that the provider wants. */
export const requestOf = (
  settings: Pick<TokenEndpointSettings, "tokenBody" | "tokenHeaders">,
  url: string,
  { body, headers, method }: BuiltRequest
): EgressRequest => {
  if (!(body instanceof URLSearchParams)) return { url, method, headers: { ...headers, ...settings.tokenHeaders } }
  const asJson = settings.tokenBody === "json"
  return {
    url,
    method,
    headers: {
      ...headers,
      ...settings.tokenHeaders,
      "content-type": asJson ? "application/json" : "application/x-www-form-urlencoded"
    },
    body: asJson ? JSON.stringify(Object.fromEntries(body)) : body.toString()
  }
}

/** The answer as a `Response`. That class accepts no status below 200 and no body with 204 and 304. */
export const responseOf = ({ body, headers, status }: Answered): Response =>
  new Response(status === 204 || status === 304 || status < 200 ? null : body, {
    status: status < 200 ? 502 : status,
    headers: { ...headers }
  })

/** Whether the egress allows plain http to this url. `oauth4webapi` refuses it unless it is told otherwise. */
export const isInsecureAllowed = (egress: Egress["Service"], url: string | undefined): boolean => {
  const parsed = url === undefined ? null : URL.parse(url)
  return parsed !== null && parsed.protocol === "http:" && egress.isPrivateAllowed(parsed)
}
