/**
 * `405` with `Allow` for an address that exists under other methods. The router by itself knows only "no such route".
 *
 * @module
 */
import { Effect, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

/** What the router can be given routes for. HEAD is not among them: it follows GET. */
const routable = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] as const

/** Refuses every method on `path` but the `allowed`. The answer's body is left to the envelope. */
export const allowOnly = (
  path: string,
  allowed: ReadonlyArray<string>
): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const refusal = HttpServerResponse.empty({ status: 405, headers: { allow: allowed.join(", ") } })
  return HttpRouter.use((router) =>
    Effect.forEach(
      routable.filter((method) => !allowed.includes(method)),
      (method) => router.add(method, `/${path.slice(1)}`, refusal),
      { discard: true }
    )
  )
}
