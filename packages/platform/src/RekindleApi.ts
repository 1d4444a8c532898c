/**
 * The HTTP contract. Server routes implement it, the OpenAPI document is generated from it, and the client layer is tested against it.
 *
 * **Gotchas**
 *
 * - The two published prefixes, `/api/v3` and `/api/v3.1`, are groups of one API, because they share one contract.
 * - It includes `429` and `503`, which the published endpoint does not have. A busy server is never reported as a dead credential.
 *
 * @module
 */
import {
  AccountNotFound,
  ConnectedAccountId,
  ErrorEnvelope,
  Forbidden,
  InvalidRequest,
  RateLimited,
  RedirectUrl,
  RefreshFailed,
  RefreshResponse,
  RefreshUnsupported,
  type StatusError,
  Unauthorized,
  Unavailable
} from "@rekindle/core"
import { Duration, Schema, SchemaTransformation } from "effect"
import {
  HttpApi,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity,
  OpenApi
} from "effect/http-api"
import type { ApiPrincipal } from "./ApiKeys.ts"
import { type EnvelopeFields, envelopeOf, fieldsOf } from "./internal/envelope.ts"
import { count, operation, specification } from "./internal/openapi.ts"
import { LaterPublishedAccount, PublishedAccount } from "./internal/published.ts"
import { idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "./internal/requestHeaders.ts"

/** The served versions of the contract, each under `/api/<version>`. */
export type ApiVersion = "v3" | "v3.1"

export { idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader }

/** Encodes an error as its envelope. `tag` and `status` are those of the error's class. `description` is for the docs page. */
const onWire = <T, const Tag extends string>(
  error: Schema.Codec<T, EnvelopeFields & { readonly _tag: Tag }>,
  tag: Tag,
  status: StatusError["status"],
  description: string
) =>
  error.pipe(
    Schema.encodeTo(
      ErrorEnvelope,
      SchemaTransformation.transform({
        decode: (envelope: ErrorEnvelope) => ({ _tag: tag, ...fieldsOf(envelope) }),
        encode: (fields: EnvelopeFields) => envelopeOf(status, fields)
      })
    ),
    Schema.annotate({ description })
  )

const retryAfterHeader = { "retry-after": Schema.optionalKey(Schema.Int) }

/** Rounded up, so that nobody comes back too early. The cap keeps the header an integer. */
const retryAfterOf = (error: RateLimited | Unavailable): { readonly "retry-after"?: number } =>
  error.retryAfter === undefined
    ? {}
    : { "retry-after": Math.min(Math.ceil(Duration.toSeconds(error.retryAfter)), Number.MAX_SAFE_INTEGER) }

const withRetryAfter = (envelope: ErrorEnvelope, headers: { readonly "retry-after"?: number | undefined }) => {
  const seconds = headers["retry-after"]
  return { ...fieldsOf(envelope), ...(seconds !== undefined && { retryAfter: Duration.seconds(Math.max(0, seconds)) }) }
}

const invalidRequest = onWire(
  InvalidRequest,
  "InvalidRequest",
  400,
  "Malformed id or body, or the account cannot be refreshed in its state; the slug tells which"
)
const unauthorized = onWire(Unauthorized, "Unauthorized", 401, "The API key is missing or unknown")
const forbidden = onWire(Forbidden, "Forbidden", 403, "The API key may not do this")
const accountNotFound = onWire(
  AccountNotFound,
  "AccountNotFound",
  404,
  "The account is unknown, removed, or belongs to another project"
)
const refreshFailed = onWire(
  RefreshFailed,
  "RefreshFailed",
  500,
  "The refresh failed on the server; read the account before trying again"
)
const refreshUnsupported = onWire(
  RefreshUnsupported,
  "RefreshUnsupported",
  501,
  "The account's scheme has nothing to refresh"
)

const rateLimited = RateLimited.pipe(
  HttpApiSchema.encodeToWithHeaders(
    { body: ErrorEnvelope.pipe(HttpApiSchema.status(429)), headers: retryAfterHeader },
    {
      decode: ({ body, headers }) => new RateLimited(withRetryAfter(body, headers)),
      encode: (error) => ({ body: envelopeOf(429, error), headers: retryAfterOf(error) })
    }
  ),
  Schema.annotate({ description: "Too many requests; nothing was done" })
)

const unavailable = Unavailable.pipe(
  HttpApiSchema.encodeToWithHeaders(
    { body: ErrorEnvelope.pipe(HttpApiSchema.status(503)), headers: retryAfterHeader },
    {
      decode: ({ body, headers }) => new Unavailable(withRetryAfter(body, headers)),
      encode: (error) => ({ body: envelopeOf(503, error), headers: retryAfterOf(error) })
    }
  ),
  Schema.annotate({ description: "Busy or down; nothing was done, and the credential is unchanged" })
)

/** Requires an API key in the header `x-api-key`. */
export class ApiKeyAuth extends HttpApiMiddleware.Service<ApiKeyAuth, { provides: ApiPrincipal }>()(
  "@rekindle/platform/ApiKeyAuth",
  { security: { apiKey: HttpApiSecurity.apiKey({ key: "x-api-key" }) }, error: [unauthorized, forbidden] }
) {}

/** Answers a request that does not decode with `InvalidRequest`, whose slug names the wrong part. */
export class RequestValidation extends HttpApiMiddleware.Service<RequestValidation>()(
  "@rekindle/platform/RequestValidation",
  { error: invalidRequest }
) {}

/** A header value that is the text of a whole number. */
const Milliseconds = Schema.String.check(
  Schema.isPattern(/^\d{1,15}$/u, { expected: "a whole number of milliseconds, from 0" })
).pipe(Schema.decodeTo(Schema.Int, SchemaTransformation.numberFromString))

const RefreshPayload = Schema.Struct({
  redirect_url: Schema.optionalKey(RedirectUrl),
  validate_credentials: Schema.optionalKey(
    Schema.Boolean.pipe(
      Schema.annotate({
        message: "Expected true or false",
        default: false,
        description: "Whether to test the credential at the provider, if the scheme has nothing to renew"
      })
    )
  )
}).pipe(Schema.annotate({ identifier: "RefreshRequest" }))

const nanoid = { description: "The unique identifier of the connected account", example: "con_1a2b3c4d5e6f" }

const refresh = HttpApiEndpoint.post("refresh", "/connected_accounts/:nanoid/refresh", {
  params: { nanoid: ConnectedAccountId },
  query: { redirect_url: Schema.optionalKey(RedirectUrl) },
  headers: {
    [idempotencyKeyHeader]: Schema.optionalKey(
      Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{1,255}$/u, { expected: "1 to 255 visible ASCII characters" }))
    ),
    [timeoutHeader]: Schema.optionalKey(Milliseconds),
    [tokenRefusedHeader]: Schema.optionalKey(Schema.Literals(["true", "false"]))
  },
  payload: [RefreshPayload, HttpApiSchema.NoContent],
  success: RefreshResponse,
  error: [invalidRequest, accountNotFound, rateLimited, refreshFailed, refreshUnsupported, unavailable]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Refresh authentication for a connected account",
    description: "Makes the connection usable now, or returns the link at which a person has to consent.",
    transform: operation({
      takesBody: true,
      parameters: {
        nanoid,
        redirect_url: { description: "Where the browser goes after consent; the same as in the body" },
        [idempotencyKeyHeader]: { description: "Repeats with the same key get the answer of the first request" },
        [timeoutHeader]: { description: "How many milliseconds the caller still waits", schema: count },
        [tokenRefusedHeader]: { description: "Whether a third party refused the access token in use" }
      },
      answers: {
        "200": "The connection is usable now, or a person has to consent at redirect_url"
      }
    })
  })
)

const get = <const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(success: S) =>
  HttpApiEndpoint.get("get", "/connected_accounts/:nanoid", {
    params: { nanoid: ConnectedAccountId },
    success,
    error: [invalidRequest, accountNotFound, rateLimited, refreshFailed, refreshUnsupported, unavailable]
  }).annotateMerge(
    OpenApi.annotations({
      summary: "Get connected account details by ID",
      description: "Reads the account. The secrets in its state are masked. It renews nothing.",
      transform: operation({
        takesBody: false,
        parameters: { nanoid },
        answers: {
          "200": "The account",
          "400": "Malformed id",
          "500": "The account could not be read",
          "501": "Reading is not supported for this account"
        }
      })
    })
  )

const connectedAccounts = <
  const V extends ApiVersion,
  const S extends typeof PublishedAccount | typeof LaterPublishedAccount
>(
  version: V,
  account: S
) =>
  HttpApiGroup.make(version)
    .add(refresh, get(account))
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    .annotateMerge(OpenApi.annotations({ title: `Connected accounts ${version}` }))

/** The contract under both prefixes. */
export class Api extends HttpApi.make("rekindle")
  .add(connectedAccounts("v3", PublishedAccount), connectedAccounts("v3.1", LaterPublishedAccount))
  .annotateMerge(
    OpenApi.annotations({
      title: "Rekindle",
      version: "3.1",
      // The server that serves the document.
      servers: [{ url: "/" }],
      transform: specification
    })
  ) {}
