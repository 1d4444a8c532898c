/**
 * An application's endpoint on a loopback port: records what it is sent, and answers as a test wants.
 *
 * @module
 */
import { Effect, Queue } from "effect"
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { text } from "node:stream/consumers"

/** A delivery as it arrived. */
export interface Received {
  readonly id: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What to answer: a status, or anything else by hand. */
export type Answer = number | ((response: ServerResponse) => void)

/** Starts an endpoint that answers with `answer`. It stops with the scope. */
export const make = Effect.fnUntraced(function* (answer: (received: Received, index: number) => Answer = () => 204) {
  const arrivals = yield* Queue.unbounded<Received>()
  const received: Array<Received> = []
  const server = createServer(async (request, response) => {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(", ") : (value ?? "")
      ])
    )
    const delivery = { id: headers["webhook-id"] ?? "", headers, body: await text(request) }
    const index = received.push(delivery) - 1
    const given = answer(delivery, index)
    if (typeof given === "number") response.writeHead(given).end()
    else given(response)
    Queue.offerUnsafe(arrivals, delivery)
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () =>
      Effect.promise(async () => {
        server.closeAllConnections()
        await once(server.close(), "close")
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    /** The next delivery that has not been taken yet. */
    next: Queue.take(arrivals),
    /** Ends every connection. */
    hangUp: Effect.sync(() => server.closeAllConnections())
  }
})
