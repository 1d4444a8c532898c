/**
 * The endpoints that are Rekindle's own: what core's `Connections` needs and the published surface cannot carry. They stand beside the
 * published ones, under both prefixes.
 *
 * **Gotchas**
 *
 * - `…/credential` and `…/authorization` answer with secrets. The API key needs the scope for it, and no answer may be cached.
 * - A change runs to its end, even if its caller leaves.
 *
 * @module
 */
import {
  AuthConfig,
  type ConnectedAccount,
  ConnectedAccountId,
  Connections,
  CurrentProject,
  InvalidRequest,
  type PageOptions,
  ProviderProfile
} from "@rekindle/core"
import { Context, Duration, Effect, Option, Schema, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiKeys, type ApiKeyScope } from "../ApiKeys.ts"
import { makeCalls } from "../internal/calls.ts"
import { count, operation } from "../internal/openapi.ts"
import { type LaterPublishedAccount, published, type PublishedAccount } from "../internal/published.ts"
import * as Wire from "../internal/wire.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { accountErrors, connectionNotReady, eventsMissed } from "./errors.ts"
import { ApiKeyAuth, RequestValidation } from "./middleware.ts"

const ofAccount = { nanoid: ConnectedAccountId }
const ofConfig = { nanoid: AuthConfig.fields.id }

const nanoid = { description: "The unique identifier of the connected account", example: "con_1a2b3c4d5e6f" }
const configId = { description: "The id of the auth config" }

const described = (
  scope: ApiKeyScope,
  summary: string,
  description: string,
  texts: Partial<Parameters<typeof operation>[0]> & Pick<Parameters<typeof operation>[0], "takesBody">
) =>
  Context.merge(
    ApiKeys.requires(scope),
    OpenApi.annotations({
      summary,
      description,
      transform: operation({ parameters: { nanoid }, answers: {}, ...texts })
    })
  )

const change = <const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(success: S) =>
  HttpApiEndpoint.patch("changeAccount", "/connected_accounts/:nanoid/registration", {
    params: ofAccount,
    payload: Wire.AccountChanges,
    success,
    error: accountErrors
  }).annotateMerge(
    described(
      "admin",
      "Change an account",
      "Its alias, attributes or secrets. The latter two are merged by name. Null removes one.",
      { takesBody: true }
    )
  )

/** The ways to an account's credential have one path. */
const credentialPath = "/connected_accounts/:nanoid/credential"

const credential = HttpApiEndpoint.get("credential", credentialPath, {
  params: ofAccount,
  query: { at_least_ms: Schema.optionalKey(Wire.Milliseconds) },
  success: Wire.CredentialAnswer,
  error: [...accountErrors, connectionNotReady]
}).annotateMerge(
  described(
    "credential",
    "Read the credential in use",
    "The access token or other credential, renewed first if it expires too soon, and the headers that carry it.",
    {
      takesBody: false,
      parameters: {
        nanoid,
        at_least_ms: { description: "How long the access token has to be valid; default one minute", schema: count }
      }
    }
  )
)

const replaceSecrets = HttpApiEndpoint.put("replaceSecrets", credentialPath, {
  params: ofAccount,
  payload: Wire.BroughtCredential,
  success: HttpApiSchema.NoContent,
  error: accountErrors
}).annotateMerge(
  described("admin", "Replace the credential", "Replaces a static credential and puts the account into service.", {
    takesBody: true
  })
)

const WithdrawQuery = Schema.Struct({ if_unsupported: Schema.optionalKey(Schema.Literals(["erase", "refuse"])) })

const revoke = HttpApiEndpoint.delete("withdraw", credentialPath, {
  params: ofAccount,
  query: WithdrawQuery,
  success: Wire.WithdrawnAnswer,
  error: accountErrors
}).annotateMerge(
  described(
    "admin",
    "Withdraw the credential",
    "Revokes the account for good, and withdraws its credential at the provider.",
    {
      takesBody: false,
      parameters: {
        nanoid,
        if_unsupported: {
          description: "If the provider cannot withdraw it: erase it here (the default), or refuse and change nothing"
        }
      }
    }
  )
)

const authorization = HttpApiEndpoint.post("authorization", "/connected_accounts/:nanoid/authorization", {
  params: ofAccount,
  payload: Wire.RequestToAuthorize,
  success: Wire.AuthorizationAnswer,
  error: [...accountErrors, connectionNotReady]
}).annotateMerge(
  described(
    "credential",
    "Authorize one request",
    "The headers and parameters that one request to the provider's API carries: token, key, signature or proof.",
    { takesBody: true }
  )
)

const link = HttpApiEndpoint.post("startConsent", "/connected_accounts/:nanoid/link", {
  params: ofAccount,
  payload: [Wire.LinkOptions, HttpApiSchema.NoContent],
  success: Wire.LinkAnswer,
  error: accountErrors
}).annotateMerge(
  described("admin", "Create a link to consent", "Starts a consent for an existing account, whatever its credential.", {
    takesBody: "optional"
  })
)

const create = <const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(success: S) =>
  HttpApiEndpoint.put("createAccount", "/connected_accounts/:nanoid", {
    params: ofAccount,
    payload: Wire.NewAccount,
    success,
    error: accountErrors
  }).annotateMerge(
    described(
      "admin",
      "Add an account",
      "Adds an account under an id that the caller chooses. With secrets it is ACTIVE; otherwise it waits for a consent.",
      { takesBody: true }
    )
  )

const register = HttpApiEndpoint.put("registerAuthConfig", "/auth_configs/:nanoid", {
  params: ofConfig,
  payload: Wire.ConfigToRegister,
  success: Wire.RegisteredAuthConfig,
  error: accountErrors
}).annotateMerge(
  described("admin", "Register an auth config", "Adds an auth config, or replaces the one with the same id.", {
    takesBody: true,
    parameters: { nanoid: configId }
  })
)

/** An auth config as core has it, and not in the published form. */
const registrationPath = "/auth_configs/:nanoid/registration"

const update = HttpApiEndpoint.patch("updateAuthConfig", registrationPath, {
  params: ofConfig,
  payload: Wire.ConfigChanges,
  success: Wire.RegisteredAuthConfig,
  error: accountErrors
}).annotateMerge(
  described("admin", "Change an auth config", "Settings and secrets are merged by name. Null removes one.", {
    takesBody: true,
    parameters: { nanoid: configId }
  })
)

const registration = HttpApiEndpoint.get("registration", registrationPath, {
  params: ofConfig,
  success: Wire.RegisteredAuthConfig,
  error: accountErrors
}).annotateMerge(
  described("read", "Read an auth config whole", "The auth config as it is registered, without its secrets.", {
    takesBody: false,
    parameters: { nanoid: configId }
  })
)

const registrations = HttpApiEndpoint.get("registrations", "/registrations", {
  query: {
    cursor: Schema.optionalKey(Schema.String),
    limit: Schema.optionalKey(Schema.NumberFromString),
    search: Schema.optionalKey(Schema.String),
    toolkits: Schema.optionalKey(Schema.Array(Schema.String)),
    is_disabled: Schema.optionalKey(Schema.Literals(["true", "false"]))
  },
  success: Wire.ConfigPage,
  error: accountErrors
}).annotateMerge(
  described(
    "read",
    "List auth configs whole",
    "The auth configs as they are registered, without their secrets, by id.",
    {
      takesBody: false,
      parameters: {
        cursor: { description: "The next_cursor of the page before" },
        limit: { description: "Items on a page, 1 to 500; default 50", schema: count },
        search: { description: "Text that the name or the id contains" },
        toolkits: { description: "The toolkits of the auth configs; repeat it for several" },
        is_disabled: { description: "Whether they are switched off" }
      }
    }
  )
)

/** Longer than a caller waits, and shorter than a proxy keeps a silent connection. */
const longestWait = Duration.seconds(25)

/** How often the outbox is read for a waiting caller, at most. */
const shortestInterval = Duration.millis(100)

const events = HttpApiEndpoint.get("events", "/events", {
  query: {
    after: Schema.optionalKey(Schema.NumberFromString.check(Schema.isInt())),
    wait_ms: Schema.optionalKey(Wire.Milliseconds),
    every_ms: Schema.optionalKey(Wire.Milliseconds)
  },
  success: Schema.Struct({ items: Schema.Array(Wire.ConnectionEvent) }),
  error: [...accountErrors, eventsMissed]
}).annotateMerge(
  described(
    "read",
    "Read events",
    "What happened to the project's accounts after a sequence, in order. An empty page: nothing more, for now.",
    {
      takesBody: false,
      parameters: {
        after: { description: "The sequence of the last event that was handled; default: begin with the oldest" },
        wait_ms: {
          description: "How long to wait for an event if there is none; at most 25000, default 0",
          schema: count
        },
        every_ms: { description: "How often to look while waiting; at least 100, default 1000", schema: count }
      }
    }
  )
)

/** The endpoints for a version of the contract, as a group of that API. */
export const own = <const V extends ApiVersion, const S extends typeof PublishedAccount | typeof LaterPublishedAccount>(
  version: V,
  account: S
) =>
  HttpApiGroup.make(`own/${version}`)
    .add(
      authorization,
      change(account),
      create(account),
      credential,
      events,
      link,
      register,
      registration,
      registrations,
      replaceSecrets,
      revoke,
      update
    )
    .prefix(`/api/${version}`)
    .middleware(RequestValidation)
    .middleware(ApiKeyAuth)
    // A field that is misspelt, or that only a later server knows, must not be left out of a change in silence.
    .annotate(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
    .annotateMerge(OpenApi.annotations({ title: `Rekindle's own endpoints ${version}` }))

const invalidConfig = () => new InvalidRequest({ message: "The auth config is invalid", slug: "invalid_auth_config" })

/** Completes a profile with core's defaults. */
const completed = <const A extends { readonly profile?: Parameters<typeof ProviderProfile.make>[0] | undefined }>({
  profile,
  ...rest
}: A) =>
  Effect.try({
    try: () => ({ ...rest, ...(profile !== undefined && { profile: ProviderProfile.make(profile) }) }),
    catch: invalidConfig
  })

/** The config to register. The scheme's settings are checked by `register`. */
const configOf = Effect.fnUntraced(function* (id: string, payload: typeof Wire.ConfigToRegister.Type) {
  const projectId = yield* CurrentProject
  const config = yield* completed(payload)
  return yield* Effect.try({ try: () => AuthConfig.make({ ...config, id, projectId }), catch: invalidConfig })
})

const shown = <E, R>(version: ApiVersion, account: Effect.Effect<ConnectedAccount, E, R>) =>
  account.pipe(
    Effect.flatMap((account) => published(account, version)),
    Effect.map((account) => HttpServerResponse.jsonUnsafe(account))
  )

/** The handlers. The scope owns the calls that they start. */
export const ownHandlers = Effect.gen(function* () {
  const connections = yield* Connections
  const { changing, reading, renewing } = yield* makeCalls

  const forVersion = (version: ApiVersion) => ({
    authorization: ({
      params: { nanoid: id },
      payload
    }: OfAccount & { payload: typeof Wire.RequestToAuthorize.Type }) =>
      Effect.map(renewing(connections.authorization(id, payload)), (carried) => ({ id, ...carried })),
    createAccount: ({ params: { nanoid: id }, payload }: OfAccount & { payload: typeof Wire.NewAccount.Type }) =>
      shown(version, changing(connections.create({ ...payload, id }))),
    changeAccount: ({ params: { nanoid: id }, payload }: OfAccount & { payload: typeof Wire.AccountChanges.Type }) =>
      shown(version, changing(connections.update(id, payload))),
    credential: ({
      params: { nanoid: id },
      query: { at_least_ms: atLeast }
    }: OfAccount & { query: { readonly at_least_ms?: number } }) =>
      Effect.map(renewing(connections.credential(id, atLeast)), (credential) => ({
        id,
        credential,
        authorization: Connections.present(credential) ?? null
      })),
    events: ({
      query
    }: {
      query: { readonly after?: number; readonly wait_ms?: number; readonly every_ms?: number }
    }) => reading(pageOf(connections, query)),
    registerAuthConfig: ({ params, payload }: OfConfig & { payload: typeof Wire.ConfigToRegister.Type }) =>
      Effect.flatMap(configOf(params.nanoid, payload), (config) => changing(connections.authConfigs.register(config))),
    registration: ({ params: { nanoid: id } }: OfConfig) =>
      Effect.flatMap(
        reading(connections.authConfigs.get(id)),
        Option.match({
          onNone: () =>
            Effect.fail(
              new InvalidRequest({ message: `auth config ${id} is not registered`, slug: "auth_config_not_found" })
            ),
          onSome: Effect.succeed
        })
      ),
    registrations: ({
      query: { cursor, is_disabled: disabled, limit, search, toolkits }
    }: {
      query: PageOptions & {
        readonly search?: string
        readonly toolkits?: ReadonlyArray<string>
        readonly is_disabled?: "true" | "false"
      }
    }) => {
      const filter = { search, toolkits, isDisabled: disabled === undefined ? undefined : disabled === "true" }
      const { count, list } = connections.authConfigs
      return Effect.map(
        reading(Effect.all([list({ ...filter, cursor, limit }), count(filter)])),
        ([{ items, nextCursor }, total]) => ({ items, next_cursor: nextCursor ?? null, total_items: total })
      )
    },
    replaceSecrets: ({ params, payload }: OfAccount & { payload: typeof Wire.BroughtCredential.Type }) =>
      changing(connections.replaceSecrets(params.nanoid, payload.secrets)),
    startConsent: ({ params: { nanoid: id }, payload }: OfAccount & { payload: typeof Wire.LinkOptions.Type | void }) =>
      Effect.map(changing(connections.link(id, payload ?? {})), (link) => ({ id, ...link })),
    updateAuthConfig: ({ params, payload }: OfConfig & { payload: typeof Wire.ConfigChanges.Type }) =>
      Effect.flatMap(completed(payload), (changes) => changing(connections.authConfigs.update(params.nanoid, changes))),
    withdraw: ({ params: { nanoid: id }, query }: OfAccount & { query: typeof WithdrawQuery.Type }) =>
      Effect.map(changing(connections.revoke(id, { ifUnsupported: query.if_unsupported })), (withdrawn) => ({
        id,
        ...withdrawn
      }))
  })
  return forVersion
})

interface OfAccount {
  readonly params: { readonly nanoid: ConnectedAccountId }
}

interface OfConfig {
  readonly params: { readonly nanoid: string }
}

/** The events on the next page. Waits for them if there are none. */
const pageOf = (
  connections: Connections["Service"],
  {
    after,
    every_ms: every = 1000,
    wait_ms: wait = 0
  }: { readonly after?: number; readonly wait_ms?: number; readonly every_ms?: number }
) => {
  const follow = wait > 0
  const pollInterval = Duration.max(Duration.millis(every), shortestInterval)
  // What was read together is answered together.
  const events = Stream.runHead(Stream.chunks(connections.events({ after, follow, pollInterval })))
  const limited = follow
    ? Effect.timeoutOrElse(events, {
        duration: Duration.min(Duration.millis(wait), longestWait),
        orElse: () => Effect.succeedNone
      })
    : events
  return Effect.map(limited, (events) => ({ items: Option.getOrElse(events, () => []) }))
}
