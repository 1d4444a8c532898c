/**
 * A bare HTTP server on a free loopback port, for the third parties of tests. It stops with the scope.
 *
 * @module
 */
import { Effect } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"

/** Starts listening. Add a `request` listener to answer. */
export const listen = Effect.gen(function* () {
  const http = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const http = createServer()
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
  return { http, host, origin: `http://${host}` }
})
