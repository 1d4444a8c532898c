/**
 * `405` with `Allow` for an address that exists under other methods. The router by itself knows only "no such route".
 *
 * @module
 */
import type { Layer } from "effect"
import { HttpMethod, HttpRouter, HttpServerResponse } from "effect/http"

/** Refuses every method on `path` but the `allowed`. The answer's body is left to the envelope. */
export const allowOnly = (
  path: string,
  allowed: ReadonlyArray<string>
): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const refusal = HttpServerResponse.empty({ status: 405, headers: { allow: allowed.join(", ") } })
  return HttpRouter.use((router) =>
    router.addAll(
      Array.from(HttpMethod.all)
        .filter((method) => !allowed.includes(method))
        .map((method) => HttpRouter.route(method, `/${path.slice(1)}`, refusal))
    )
  )
}
