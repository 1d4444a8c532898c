/**
 * The endpoints of auth configs: create, list, get, patch, delete, enable and disable.
 *
 * @module
 */
import { AuthScheme } from "@rekindle/core"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiKeys } from "../ApiKeys.ts"
import { operation } from "../internal/openapi.ts"
import { pageOf } from "../internal/page.ts"
import { flag, page, pageTexts, several } from "../internal/query.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { accountErrors } from "./errors.ts"
import { ApiKeyAuth, RequestValidation } from "./middleware.ts"

const params = { nanoid: Schema.String }

const JsonRecord = Schema.Record(Schema.String, Schema.Json)

const Shown = Schema.Struct({
  id: Schema.String,
  uuid: Schema.String,
  type: Schema.Literal("custom"),
  toolkit: Schema.Struct({ slug: Schema.String, logo: Schema.String }),
  name: Schema.String,
  auth_scheme: AuthScheme,
  is_composio_managed: Schema.Boolean,
  credentials: JsonRecord,
  status: Schema.Literals(["ENABLED", "DISABLED"]),
  created_at: Schema.String,
  last_updated_at: Schema.String,
  no_of_connections: Schema.Int,
  expected_input_fields: Schema.Array(Schema.Json),
  tool_access_config: JsonRecord
}).pipe(Schema.annotate({ identifier: "AuthConfig" }))

const Scopes = Schema.Union([Schema.String, Schema.Array(Schema.String)])

/** Parts of an auth config that only the hosted service has. One that is not empty is refused, because it would not take effect. */
const elsewhere = {
  proxy_config: Schema.optionalKey(Schema.Json),
  shared_credentials: Schema.optionalKey(Schema.Json),
  tool_access_config: Schema.optionalKey(Schema.Json),
  restrict_to_following_tools: Schema.optionalKey(Schema.Json)
}

export const CreatePayload = Schema.Struct({
  toolkit: Schema.Struct({ slug: Schema.NonEmptyString }),
  auth_config: Schema.optionalKey(
    Schema.Union([
      Schema.Struct({
        type: Schema.Literal("use_custom_auth"),
        authScheme: AuthScheme,
        name: Schema.optionalKey(Schema.String),
        credentials: Schema.optionalKey(JsonRecord),
        ...elsewhere
      }),
      Schema.Struct({ type: Schema.Literal("use_composio_managed_auth") })
    ])
  )
}).pipe(Schema.annotate({ identifier: "CreateAuthConfig" }))

const createConfig = HttpApiEndpoint.post("create", "/auth_configs", {
  payload: CreatePayload,
  success: Schema.Struct({
    toolkit: Schema.Struct({ slug: Schema.String }),
    auth_config: Schema.Struct({
      id: Schema.String,
      auth_scheme: Schema.String,
      is_composio_managed: Schema.Boolean,
      restrict_to_following_tools: Schema.Array(Schema.String)
    })
  }).pipe(HttpApiSchema.status(201)),
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Create an auth config",
    description:
      "With use_custom_auth and your own client at the provider. A toolkit outside the catalogue takes its endpoints from the credentials.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "201": "The auth config" } })
  })
)

export const AuthConfigsQuery = Schema.Struct({
  is_composio_managed: flag,
  toolkit_slug: several(Schema.String),
  show_disabled: flag,
  search: Schema.optionalKey(Schema.String),
  deprecated_app_id: Schema.optionalKey(Schema.String),
  deprecated_status: Schema.optionalKey(Schema.String),
  ...page
})

const listConfigs = HttpApiEndpoint.get("list", "/auth_configs", {
  query: AuthConfigsQuery,
  success: pageOf(Shown),
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("read"))
  .annotateMerge(
    OpenApi.annotations({
      summary: "List auth configs",
      description: "Disabled ones are left out without show_disabled.",
      transform: operation({ takesBody: false, parameters: pageTexts, answers: { "200": "A page of auth configs" } })
    })
  )

const getConfig = HttpApiEndpoint.get("get", "/auth_configs/:nanoid", {
  params,
  success: Shown,
  error: accountErrors
})
  .annotateMerge(ApiKeys.requires("read"))
  .annotateMerge(
    OpenApi.annotations({
      summary: "Get an auth config",
      description: "Its secrets are masked.",
      transform: operation({ takesBody: false, parameters: {}, answers: { "200": "The auth config" } })
    })
  )

/** `credentials` come with `custom`, and the scopes alone with `default`. Both mean the same here, where no client is somebody else's. */
export const PatchPayload = Schema.Struct({
  type: Schema.Literals(["custom", "default"]),
  name: Schema.optionalKey(Schema.String),
  credentials: Schema.optionalKey(JsonRecord),
  scopes: Schema.optionalKey(Scopes),
  user_scopes: Schema.optionalKey(Scopes),
  ...elsewhere
}).pipe(Schema.annotate({ identifier: "PatchAuthConfig" }))

const Nothing = Schema.Struct({})

const patchConfig = HttpApiEndpoint.patch("patch", "/auth_configs/:nanoid", {
  params,
  payload: PatchPayload,
  success: Nothing,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Change an auth config",
    description: "Credentials are merged into those that it has.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "200": "It is changed" } })
  })
)

const removeConfig = HttpApiEndpoint.delete("remove", "/auth_configs/:nanoid", {
  params,
  query: { revoke_on_delete: flag },
  success: Nothing,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Delete an auth config",
    description: "Erases it and its secrets. It must not have accounts.",
    transform: operation({ takesBody: false, parameters: {}, answers: { "200": "It is erased" } })
  })
)

const switchConfig = HttpApiEndpoint.patch("status", "/auth_configs/:nanoid/:status", {
  params: { ...params, status: Schema.Literals(["ENABLED", "DISABLED"]) },
  success: Nothing,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Enable or disable an auth config",
    description: "The accounts of a disabled one are out of service, and keep their status and credential.",
    transform: operation({ takesBody: false, parameters: {}, answers: { "200": "The status is changed" } })
  })
)

const group = <const V extends ApiVersion>(version: V) =>
  HttpApiGroup.make(`auth_configs/${version}`)
    .add(createConfig, listConfigs, getConfig, patchConfig, removeConfig, switchConfig)
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    .annotateMerge(OpenApi.annotations({ title: `Auth configs ${version}` }))

export const authConfigsV3 = group("v3")
export const authConfigsV31 = group("v3.1")
