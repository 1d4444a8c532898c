/**
 * The handlers of the endpoints of auth configs, on `Connections` and `Toolkits`.
 *
 * @module
 */
import { AccountNotFound, Connections, CurrentProject, type RegisteredAuthConfig } from "@rekindle/core"
import { DateTime, Effect, Option, Predicate, type Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import { HttpServerResponse } from "effect/http"
import { makePublishedCalls } from "../internal/calls.ts"
import { paged } from "../internal/page.ts"
import { chosen } from "../internal/query.ts"
import { uuidOf } from "../internal/uuid.ts"
import { Toolkits } from "../Toolkits.ts"
import type { AuthConfigsQuery, CreatePayload, PatchPayload } from "./authConfigs.ts"
import { notServed } from "./notServed.ts"

interface OfConfig {
  readonly params: { readonly nanoid: string }
}

const mask = "********"

/** The parts of an auth config that only the hosted service has. */
const elsewhere = ["proxy_config", "shared_credentials", "tool_access_config", "restrict_to_following_tools"] as const

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Predicate.isObject(value) && Object.values(value).every(isEmpty))

/** Refuses what would not take effect: a rule that restricts tools, for one. */
const refuseElsewhere = (given: { readonly [Name in (typeof elsewhere)[number]]?: Schema.Json }) => {
  const name = elsewhere.find((name) => !isEmpty(given[name]))
  return name === undefined ? Effect.void : Effect.fail(notServed(name))
}

/** The settings that people entered as credentials, under the names of the contract. Secrets are masked. */
const credentialsOf = ({ secretNames, settings }: RegisteredAuthConfig): Readonly<Record<string, Schema.Json>> => ({
  ...(settings["clientId"] !== undefined && { client_id: settings["clientId"] }),
  ...(settings["scopes"] !== undefined && { scopes: settings["scopes"] }),
  ...Object.fromEntries(secretNames.map((name) => [name, mask]))
})

const notFound = (id: string) => new AccountNotFound({ message: `no auth config ${id}`, slug: "auth_config_not_found" })

/** The handlers. They answer alike in both versions. */
export const authConfigsHandlers = Effect.gen(function* () {
  const connections = yield* Connections
  const { changing, reading } = yield* makePublishedCalls
  const toolkits = yield* Toolkits
  const random = yield* SecureRandom.SecureRandom
  const { authConfigs } = connections

  const newId = Effect.map(Effect.orDie(random.randomBytes(9)), (bytes) => `ac_${Base64Url.encode(bytes)}`)

  const find = (id: string) =>
    Effect.flatMap(
      reading(authConfigs.get(id)),
      Option.match({ onNone: () => Effect.fail(notFound(id)), onSome: Effect.succeed })
    )

  const shown = Effect.fnUntraced(function* (config: RegisteredAuthConfig) {
    const { createdAt, id, isDisabled, name, scheme, toolkit, updatedAt } = config
    return {
      id,
      uuid: yield* uuidOf(id),
      type: "custom",
      toolkit: { slug: toolkit, logo: "" },
      name: name ?? toolkit,
      auth_scheme: scheme,
      is_composio_managed: false,
      credentials: credentialsOf(config),
      status: isDisabled ? "DISABLED" : "ENABLED",
      created_at: DateTime.formatIso(createdAt),
      last_updated_at: DateTime.formatIso(updatedAt),
      no_of_connections: yield* reading(connections.count({ authConfigIds: [id], statuses: ["ACTIVE"] })),
      expected_input_fields: [],
      restrict_to_following_tools: [],
      tool_access_config: {}
    }
  })

  const create = Effect.fnUntraced(function* ({ payload }: { readonly payload: typeof CreatePayload.Type }) {
    const { auth_config: asked, toolkit } = payload
    if (asked === undefined || asked.type === "use_composio_managed_auth") {
      return yield* notServed(
        "an auth config with a client of the hosted service",
        "register a client of your own at the provider, and create the auth config with type use_custom_auth"
      )
    }
    yield* refuseElsewhere(asked)
    const config = yield* toolkits.authConfig({
      id: yield* newId,
      toolkit: toolkit.slug,
      scheme: asked.authScheme,
      name: asked.name,
      credentials: asked.credentials ?? {}
    })
    const projectId = yield* CurrentProject
    const { id, scheme } = yield* changing(authConfigs.register({ ...config, projectId }))
    return HttpServerResponse.jsonUnsafe(
      {
        toolkit: { slug: toolkit.slug },
        auth_config: { id, auth_scheme: scheme, is_composio_managed: false, restrict_to_following_tools: [] }
      },
      { status: 201 }
    )
  })

  const list = Effect.fnUntraced(function* ({ query }: { readonly query: typeof AuthConfigsQuery.Type }) {
    if ((query.deprecated_app_id ?? "") !== "" || (query.deprecated_status ?? "") !== "") {
      return yield* notServed("a filter of an earlier version")
    }
    const filter = {
      // None is managed by the hosted service.
      toolkits: query.is_composio_managed === "true" ? [] : chosen(query.toolkit_slug),
      search: query.search === "" ? undefined : query.search,
      isDisabled: query.show_disabled === "true" ? undefined : false
    }
    const page = yield* paged(
      query,
      (place) => reading(authConfigs.list({ ...filter, ...place })),
      reading(authConfigs.count(filter))
    )
    // At the same time, so that the counts of their accounts share a statement.
    const items = yield* Effect.forEach(page.items, shown, { concurrency: "unbounded" })
    return HttpServerResponse.jsonUnsafe({ ...page, items })
  })

  const get = Effect.fnUntraced(function* ({ params: { nanoid } }: OfConfig) {
    return HttpServerResponse.jsonUnsafe(yield* shown(yield* find(nanoid)))
  })

  const done = HttpServerResponse.jsonUnsafe({})

  const patch = Effect.fnUntraced(function* ({
    params: { nanoid },
    payload
  }: OfConfig & { readonly payload: typeof PatchPayload.Type }) {
    yield* refuseElsewhere(payload)
    const { credentials, name, scopes, user_scopes } = payload
    const changes = yield* toolkits.changes(yield* find(nanoid), {
      ...(scopes !== undefined && { scopes }),
      ...(user_scopes !== undefined && { user_scopes }),
      ...credentials
    })
    yield* changing(authConfigs.update(nanoid, { ...changes, name }))
    return done
  })

  return {
    create,
    list,
    get,
    patch,
    remove: ({ params: { nanoid } }: OfConfig) => Effect.as(changing(authConfigs.remove(nanoid)), done),
    status: ({ params: { nanoid, status } }: { readonly params: OfConfig["params"] & { readonly status: string } }) =>
      Effect.as(changing(status === "ENABLED" ? authConfigs.enable(nanoid) : authConfigs.disable(nanoid)), done)
  }
})
