/**
 * A plain HTTP server on a loopback port, for answers that no well-behaved server gives. It records every request before it answers.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import { listen } from "./listen.ts"

/** A request as it arrived. */
export interface RecordedRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A running server. */
export interface HttpFixture {
  readonly origin: string
  /** Host and port. */
  readonly host: string
  readonly requests: ReadonlyArray<RecordedRequest>
}

/** Starts a server. It stops with the scope. A request without an answer keeps its connection open until then. */
export const make = Effect.fnUntraced(function* (
  answer: (request: RecordedRequest, response: ServerResponse) => void
): Effect.fn.Return<HttpFixture, never, Scope.Scope> {
  const requests: Array<RecordedRequest> = []
  const record = async (incoming: IncomingMessage, response: ServerResponse) => {
    const { headers, method = "", url: path = "" } = incoming
    const request = { method, path, headers, body: await text(incoming) }
    requests.push(request)
    answer(request, response)
  }
  const { host, http, origin } = yield* listen
  http.on("request", (incoming, response) => void record(incoming, response))
  return { host, origin, requests }
})

/** Answers everything with this JSON. */
export const json =
  (body: unknown, status = 200) =>
  (_request: RecordedRequest, response: ServerResponse): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  }
