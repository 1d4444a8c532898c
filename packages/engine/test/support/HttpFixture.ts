/**
 * A plain HTTP server on a loopback port, for answers no well-behaved server gives. It records every request before it answers.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
import { text } from "node:stream/consumers"

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

/** Starts a server; it stops with the scope. Not answering is an answer too: the connection stays open until then. */
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
  const http = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const http = createServer((incoming, response) => {
        void record(incoming, response)
      })
      await once(http.listen(0, "127.0.0.1"), "listening")
      return http
    }),
    (http) =>
      Effect.promise(async () => {
        http.closeAllConnections()
        await once(http.close(), "close")
      })
  )
  const address = http.address()
  if (address === null || typeof address === "string") return yield* Effect.die(new Error("no port"))
  const host = `127.0.0.1:${address.port}`
  return { host, origin: `http://${host}`, requests }
})

/** Answers everything with this JSON. */
export const json =
  (body: unknown, status = 200) =>
  (_request: RecordedRequest, response: ServerResponse): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  }
