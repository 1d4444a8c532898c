/**
 * Runs the check in a worker, which answers every request with the outcome.
 *
 * @module
 */
import { check } from "./client.ts"

export default {
  fetch: (request: Request): Promise<Response> =>
    check(new URL(request.url).searchParams.get("origin") ?? "").then(
      () => new Response("ok"),
      (cause) => new Response(String(cause), { status: 500 })
    )
}
