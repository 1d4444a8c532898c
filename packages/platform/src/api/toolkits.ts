/**
 * The endpoints of toolkits: the catalogue of the services that accounts connect to, and one of them with the fields of its forms.
 *
 * @module
 */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiKeys } from "../ApiKeys.ts"
import { operation } from "../internal/openapi.ts"
import { pageOf } from "../internal/page.ts"
import { flag, oneOf, page, pageTexts } from "../internal/query.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { accountErrors } from "./errors.ts"
import { ApiKeyAuth, RequestValidation } from "./middleware.ts"

const metaFields = {
  created_at: Schema.String,
  updated_at: Schema.String,
  description: Schema.String,
  logo: Schema.String,
  triggers_count: Schema.Int,
  tools_count: Schema.Int,
  version: Schema.String
}

const Listed = Schema.Struct({
  slug: Schema.String,
  name: Schema.String,
  auth_schemes: Schema.Array(Schema.String),
  composio_managed_auth_schemes: Schema.Array(Schema.String),
  is_local_toolkit: Schema.Boolean,
  no_auth: Schema.Boolean,
  deprecated: Schema.Struct({ toolkitId: Schema.String }),
  meta: Schema.Struct({
    ...metaFields,
    categories: Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.String }))
  })
}).pipe(Schema.annotate({ identifier: "ListedToolkit" }))

const Field = Schema.Struct({
  name: Schema.String,
  displayName: Schema.String,
  description: Schema.String,
  type: Schema.String,
  required: Schema.Boolean
}).pipe(Schema.annotate({ identifier: "ToolkitField" }))

const Form = Schema.Struct({ required: Schema.Array(Field), optional: Schema.Array(Field) })

const Toolkit = Schema.Struct({
  slug: Schema.String,
  name: Schema.String,
  enabled: Schema.Boolean,
  is_local_toolkit: Schema.Boolean,
  composio_managed_auth_schemes: Schema.Array(Schema.String),
  auth_config_details: Schema.Array(
    Schema.Struct({
      mode: Schema.String,
      name: Schema.String,
      fields: Schema.Struct({ auth_config_creation: Form, connected_account_initiation: Form })
    })
  ),
  deprecated: Schema.Struct({ toolkitId: Schema.String, rawProxyInfoByAuthSchemes: Schema.Array(Schema.Json) }),
  meta: Schema.Struct({
    ...metaFields,
    categories: Schema.Array(Schema.Struct({ slug: Schema.String, name: Schema.String })),
    available_versions: Schema.Array(Schema.String)
  })
}).pipe(Schema.annotate({ identifier: "Toolkit" }))

export const ToolkitsQuery = Schema.Struct({
  category: Schema.optionalKey(Schema.String),
  managed_by: oneOf("composio", "all", "project"),
  type: oneOf("native", "custom", "all"),
  sort_by: oneOf("usage", "alphabetically"),
  include_deprecated: flag,
  search: Schema.optionalKey(Schema.String),
  ...page
})

const listToolkits = HttpApiEndpoint.get("list", "/toolkits", {
  query: ToolkitsQuery,
  success: pageOf(Listed),
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("read"))
  .annotateMerge(
    OpenApi.annotations({
      summary: "List toolkits",
      description: "The services that accounts connect to, in the order of their slugs.",
      transform: operation({ takesBody: false, parameters: pageTexts, answers: { "200": "A page of toolkits" } })
    })
  )

const getToolkit = HttpApiEndpoint.get("get", "/toolkits/:slug", {
  params: { slug: Schema.String },
  query: { version: Schema.optionalKey(Schema.String) },
  success: Toolkit,
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("read"))
  .annotateMerge(
    OpenApi.annotations({
      summary: "Get a toolkit",
      description: "With the fields that an auth config and an account of it take.",
      transform: operation({ takesBody: false, parameters: {}, answers: { "200": "The toolkit" } })
    })
  )

const group = <const V extends ApiVersion>(version: V) =>
  HttpApiGroup.make(`toolkits/${version}`)
    .add(listToolkits, getToolkit)
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    .annotateMerge(OpenApi.annotations({ title: `Toolkits ${version}` }))

export const toolkitsV3 = group("v3")
export const toolkitsV31 = group("v3.1")
