/**
 * The endpoints of connected accounts besides `refresh` and `get`: list, create, link, patch, delete, status and revoke.
 *
 * @module
 */
import { AuthScheme, ConnectedAccountId, KnownStatus, RedirectUrl } from "@rekindle/core"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiKeys } from "../ApiKeys.ts"
import { operation } from "../internal/openapi.ts"
import { pageOf } from "../internal/page.ts"
import { LaterPublishedAccount, PublishedAccount } from "../internal/published.ts"
import { flag, oneOf, page, pageTexts, several } from "../internal/query.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { accountErrors, notRevocable } from "./errors.ts"
import { ApiKeyAuth, RequestValidation } from "./middleware.ts"

const params = { nanoid: ConnectedAccountId }

const JsonRecord = Schema.Record(Schema.String, Schema.Json)

/** Accounts that several people use are not served, so what asks for one is refused. */
export const Experimental = Schema.Struct({
  account_type: Schema.optionalKey(Schema.Literals(["PRIVATE", "SHARED"])),
  acl_config_for_shared: Schema.optionalKey(Schema.Json)
})

export const ListQuery = Schema.Struct({
  user_ids: several(Schema.String),
  statuses: several(KnownStatus),
  toolkit_slugs: several(Schema.String),
  auth_config_ids: several(Schema.String),
  connected_account_ids: several(ConnectedAccountId),
  order_by: oneOf("created_at", "updated_at"),
  order_direction: oneOf("asc", "desc"),
  account_type: oneOf("PRIVATE", "SHARED", "ALL"),
  ...page
})

const listAccounts = <const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(account: S) =>
  HttpApiEndpoint.get("list", "/connected_accounts", {
    query: ListQuery,
    success: pageOf(account),
    error: accountErrors
  })
    .annotateMerge(ApiKeys.requires("read"))
    .annotateMerge(
      OpenApi.annotations({
        summary: "List connected accounts",
        description: "Filters take several values: the parameter repeated, or one with commas.",
        transform: operation({ takesBody: false, parameters: pageTexts, answers: { "200": "A page of accounts" } })
      })
    )

const State = Schema.Struct({ authScheme: AuthScheme, val: JsonRecord })

export const CreatePayload = Schema.Struct({
  auth_config: Schema.Struct({ id: Schema.String }),
  connection: Schema.Struct({
    state: Schema.optionalKey(State),
    data: Schema.optionalKey(JsonRecord),
    user_id: Schema.optionalKey(Schema.String),
    alias: Schema.optionalKey(Schema.String),
    callback_url: Schema.optionalKey(RedirectUrl),
    redirect_uri: Schema.optionalKey(RedirectUrl),
    experimental: Schema.optionalKey(Experimental)
  }),
  validate_credentials: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.annotate({ identifier: "CreateConnectedAccount" }))

const Created = Schema.Struct({
  id: ConnectedAccountId,
  connectionData: State,
  status: KnownStatus,
  redirect_url: Schema.NullOr(Schema.String),
  redirect_uri: Schema.NullOr(Schema.String)
}).pipe(HttpApiSchema.status(201))

const createAccount = HttpApiEndpoint.post("create", "/connected_accounts", {
  payload: CreatePayload,
  success: Created,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Create a connected account",
    description:
      "With a credential in connection.state it is ACTIVE. Without one, redirect_url is the link to its consent.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "201": "The account" } })
  })
)

export const LinkPayload = Schema.Struct({
  auth_config_id: Schema.String,
  user_id: Schema.NonEmptyString,
  alias: Schema.optionalKey(Schema.String),
  callback_url: Schema.optionalKey(RedirectUrl),
  connection_data: Schema.optionalKey(JsonRecord),
  experimental: Schema.optionalKey(Experimental)
}).pipe(Schema.annotate({ identifier: "CreateLink" }))

const createLink = HttpApiEndpoint.post("link", "/connected_accounts/link", {
  payload: LinkPayload,
  success: Schema.Struct({
    link_token: Schema.String,
    redirect_url: Schema.String,
    expires_at: Schema.String,
    connected_account_id: ConnectedAccountId
  }).pipe(HttpApiSchema.status(201)),
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Create a link that connects an account",
    description: "A person opens the link in a browser and connects the account there.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "201": "The link" } })
  })
)

export const PatchPayload = Schema.Struct({
  alias: Schema.optionalKey(Schema.String),
  connection: Schema.optionalKey(Schema.Struct({ state: State })),
  experimental: Schema.optionalKey(Experimental)
}).pipe(Schema.annotate({ identifier: "PatchConnectedAccount" }))

const patchAccount = HttpApiEndpoint.patch("patch", "/connected_accounts/:nanoid", {
  params,
  payload: PatchPayload,
  success: Schema.Struct({ success: Schema.Boolean, id: ConnectedAccountId, status: Schema.String }),
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Change a connected account",
    description: "Fields of connection.state.val are merged into the credential. An empty alias removes the alias.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "200": "The account is changed" } })
  })
)

const Success = Schema.Struct({ success: Schema.Boolean })

const removeAccount = HttpApiEndpoint.delete("remove", "/connected_accounts/:nanoid", {
  params,
  query: { revoke_on_delete: flag },
  success: Success,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Delete a connected account",
    description:
      "Erases it and everything sealed for it. With revoke_on_delete its credential is withdrawn at the provider first.",
    transform: operation({ takesBody: false, parameters: {}, answers: { "200": "The account is erased" } })
  })
)

export const StatusPayload = Schema.Struct({ enabled: Schema.Boolean }).pipe(
  Schema.annotate({ identifier: "ConnectedAccountStatusRequest" })
)

const switchAccount = HttpApiEndpoint.patch("status", "/connected_accounts/:nanoid/status", {
  params,
  payload: StatusPayload,
  success: Success,
  error: accountErrors
}).annotateMerge(
  OpenApi.annotations({
    summary: "Enable or disable a connected account",
    description: "A disabled account keeps its credential, which is neither renewed nor handed out.",
    transform: operation({ takesBody: true, parameters: {}, answers: { "200": "The status is changed" } })
  })
)

const revokeAccount = HttpApiEndpoint.post("revoke", "/connected_accounts/:nanoid/revoke", {
  params,
  success: Schema.Struct({
    revoked_tokens: Schema.Array(Schema.Literals(["access_token", "refresh_token", "credential"])),
    connected_account: Schema.Struct({ id: ConnectedAccountId, status: KnownStatus })
  }),
  error: [...accountErrors, notRevocable]
}).annotateMerge(
  OpenApi.annotations({
    summary: "Withdraw an account's credential at the provider",
    description: "The account becomes REVOKED for good.",
    transform: operation({ takesBody: false, parameters: {}, answers: { "200": "The provider confirmed it" } })
  })
)

const group = <const V extends ApiVersion, const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(
  version: V,
  account: S
) =>
  HttpApiGroup.make(`connected_accounts/${version}`)
    .add(listAccounts(account), createAccount, createLink, patchAccount, removeAccount, switchAccount, revokeAccount)
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    .annotateMerge(OpenApi.annotations({ title: `Manage connected accounts ${version}` }))

export const connectedAccountsV3 = group("v3", PublishedAccount)
export const connectedAccountsV31 = group("v3.1", LaterPublishedAccount)
