/**
 * Answers `405` with `Allow` if a path exists with other methods. The router alone would answer 404.
 *
 * @module
 */
import type { Layer } from "effect"
import { HttpMethod, HttpRouter, HttpServerResponse } from "effect/http"

/** Refuses all methods on `path` except the `allowed` ones. The envelope middleware adds the body. */
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
