/**
 * What the contract publishes and this server does not serve. It answers 501, because a 404 would read as "no such account".
 *
 * @module
 */
import { RefreshUnsupported } from "@rekindle/core"
import type { Layer } from "effect"
import { HttpMethod, HttpRouter, HttpServerResponse } from "effect/http"
import { envelopeOf } from "../internal/envelope.ts"

const slug = "not_served"

/** The failure of a call, or of a part of one, that is published and not served. */
export const notServed = (what: string, suggestedFix?: string) =>
  new RefreshUnsupported({
    message: `${what} is not served here`,
    slug,
    ...(suggestedFix !== undefined && { suggestedFix })
  })

/** Published under both prefixes. A path stands for itself and everything below it. */
const paths = [
  "/api_key_revocation",
  "/auth",
  "/cli",
  "/files",
  "/internal",
  "/labs",
  "/logs",
  "/mcp",
  "/migration",
  "/org",
  "/project",
  "/toolkits/categories",
  "/toolkits/changelog",
  "/toolkits/multi",
  "/tool_router",
  "/tools",
  "/trigger_instances",
  "/triggers_types",
  "/webhook_endpoints"
] as const

/** Their routes, for every method of the contract. The router's `*` would be 34 methods, WebDAV's among them, and take a tenth of a server's start. */
export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter> = HttpRouter.use((router) =>
  router.addAll(
    paths.flatMap((path) => {
      const error = notServed(path.slice(1))
      const answer = HttpServerResponse.jsonUnsafe(envelopeOf(501, error), { status: 501 })
      return (["/api/v3", "/api/v3.1"] as const).flatMap((prefix) =>
        Array.from(HttpMethod.all, (method) => HttpRouter.route(method, `${prefix}${path}/*`, answer))
      )
    })
  )
)
