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
import { ConnectedAccountId, RedirectUrl, RefreshResponse } from "@rekindle/core"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { authConfigsV3, authConfigsV31 } from "./api/authConfigs.ts"
import { connectedAccountsV3, connectedAccountsV31 } from "./api/connectedAccounts.ts"
import { accountErrors } from "./api/errors.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { ApiKeyAuth, RequestValidation } from "./api/middleware.ts"
import { own } from "./api/own.ts"
import { toolkitsV3, toolkitsV31 } from "./api/toolkits.ts"
import { webhookSubscriptionsV3, webhookSubscriptionsV31 } from "./api/webhookSubscriptions.ts"
import { count, operation, specification } from "./internal/openapi.ts"
import { LaterPublishedAccount, PublishedAccount } from "./internal/published.ts"
import { idempotencyKeyHeader, timeoutHeader, tokenRefusedHeader } from "./internal/requestHeaders.ts"
import { Milliseconds } from "./internal/wire.ts"

/** The served versions of the contract, each under `/api/<version>`. */
export type ApiVersion = "v3" | "v3.1"

/** Core's errors as endpoints of your own answer them. */
export * as errors from "./api/errors.ts"

export { ApiKeyAuth, idempotencyKeyHeader, RequestValidation, timeoutHeader, tokenRefusedHeader }

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
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("refresh"))
  .annotateMerge(
    OpenApi.annotations({
      summary: "Refresh authentication for a connected account",
      description: "Makes the connection usable now, or returns the link at which a person has to consent.",
      transform: operation({
        takesBody: "optional",
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
    error: accountErrors
  })
    .annotateMerge(ApiKeys.requires("read"))
    .annotateMerge(
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

const gateway = [connectedAccounts("v3", PublishedAccount), connectedAccounts("v3.1", LaterPublishedAccount)] as const

/** The document is of the server that serves it. */
const document = OpenApi.annotations({
  title: "Rekindle",
  version: "3.1",
  servers: [{ url: "/" }],
  transform: specification
})

/** What a gateway serves under both prefixes: `refresh` and `get`. */
export class Api extends HttpApi.make("rekindle")
  .add(...gateway)
  .annotateMerge(document) {}

/** What a service serves under both prefixes: {@link Api}, and everything that applications call around it. */
export class ServiceApi extends HttpApi.make("rekindle-service")
  .add(...gateway)
  .add(connectedAccountsV3, connectedAccountsV31, authConfigsV3, authConfigsV31, toolkitsV3, toolkitsV31)
  .add(own("v3", PublishedAccount), own("v3.1", LaterPublishedAccount))
  .add(webhookSubscriptionsV3, webhookSubscriptionsV31)
  .annotateMerge(document) {}
