/**
 * What every endpoint has around its handler: the check of the API key, and that of the request's shape.
 *
 * @module
 */
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import type { ApiPrincipal } from "../ApiKeys.ts"
import { forbidden, invalidRequest, rateLimited, unauthorized, unavailable } from "./errors.ts"

/** Requires an API key in the header `x-api-key`, with the scope that the endpoint is annotated with by `ApiKeys.requires`. */
export class ApiKeyAuth extends HttpApiMiddleware.Service<ApiKeyAuth, { provides: ApiPrincipal }>()(
  "@rekindle/platform/ApiKeyAuth",
  {
    security: { apiKey: HttpApiSecurity.apiKey({ key: "x-api-key" }) },
    error: [unauthorized, forbidden, rateLimited, unavailable]
  }
) {}

/** Answers a request that does not decode with `InvalidRequest`, whose slug names the wrong part. */
export class RequestValidation extends HttpApiMiddleware.Service<RequestValidation>()(
  "@rekindle/platform/RequestValidation",
  { error: invalidRequest }
) {}
