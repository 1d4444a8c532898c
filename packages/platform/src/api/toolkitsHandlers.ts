/**
 * The handlers of the endpoints of toolkits, on `Toolkits`.
 *
 * What the hosted service counts and Rekindle does not have (tools, triggers, logos, categories) is zero or empty.
 *
 * @module
 */
import { AccountNotFound, InvalidRequest } from "@rekindle/core"
import { DateTime, Effect, Option } from "effect"
import { HttpServerResponse } from "effect/http"
import { paged } from "../internal/page.ts"
import { uuidOf } from "../internal/uuid.ts"
import type { ApiVersion } from "../RekindleApi.ts"
import { type Toolkit, type ToolkitField, Toolkits } from "../Toolkits.ts"
import type { ToolkitsQuery } from "./toolkits.ts"

/** A toolkit's version is the day of its facts, in the form of the hosted service's versions. */
const versionOf = ({ checkedAt }: Toolkit) => `${DateTime.formatIsoDateUtc(checkedAt).replaceAll("-", "")}_00`

const metaOf = (toolkit: Toolkit) => ({
  created_at: DateTime.formatIso(toolkit.checkedAt),
  updated_at: DateTime.formatIso(toolkit.checkedAt),
  description: toolkit.description,
  logo: "",
  app_url: null,
  categories: [],
  triggers_count: 0,
  tools_count: 0,
  version: versionOf(toolkit)
})

const formOf = (version: ApiVersion, fields: ReadonlyArray<ToolkitField>) => {
  const shown = (isRequired: boolean) =>
    fields
      .filter((field) => field.isRequired === isRequired)
      .map(({ description, isSecret, name, title }) => ({
        name,
        displayName: title,
        description,
        type: "string",
        required: isRequired,
        ...(version === "v3.1" && { is_secret: isSecret })
      }))
  return { required: shown(true), optional: shown(false) }
}

const listed = (version: ApiVersion) => (toolkit: Toolkit) =>
  Effect.map(uuidOf(toolkit.slug), (toolkitId) => ({
    slug: toolkit.slug,
    name: toolkit.name,
    ...(version === "v3.1" && { type: "native" }),
    auth_schemes: toolkit.schemes.map(({ scheme }) => scheme),
    composio_managed_auth_schemes: [],
    is_local_toolkit: false,
    no_auth: toolkit.schemes.some(({ scheme }) => scheme === "NO_AUTH"),
    deprecated: { toolkitId },
    meta: metaOf(toolkit)
  }))

const detailed = (version: ApiVersion) => (toolkit: Toolkit) =>
  Effect.map(uuidOf(toolkit.slug), (toolkitId) => ({
    slug: toolkit.slug,
    name: toolkit.name,
    enabled: true,
    is_local_toolkit: false,
    composio_managed_auth_schemes: [],
    ...(version === "v3.1" && { type: "native", composio_managed_auth: [] }),
    auth_config_details: toolkit.schemes.map(({ accountFields, configFields, scheme }) => ({
      mode: scheme,
      name: scheme,
      fields: {
        auth_config_creation: formOf(version, configFields),
        connected_account_initiation: formOf(version, accountFields)
      }
    })),
    deprecated: { toolkitId, rawProxyInfoByAuthSchemes: [] },
    meta: { ...metaOf(toolkit), available_versions: [versionOf(toolkit)] }
  }))

const matches = (query: typeof ToolkitsQuery.Type) => {
  const wanted = query.search?.toLowerCase() ?? ""
  // No toolkit has a category, is managed by somebody else, or is of the project's own making.
  const nothing =
    (query.category ?? "") !== "" ||
    query.managed_by === "composio" ||
    query.managed_by === "project" ||
    query.type === "custom"
  return ({ description, name, slug }: Toolkit) =>
    !nothing && [slug, name, description].some((text) => text.toLowerCase().includes(wanted))
}

/** A page of a list in memory. Its cursor is the slug of the last toolkit before. */
const pageFrom =
  (toolkits: ReadonlyArray<Toolkit>) =>
  ({
    cursor,
    limit = toolkits.length
  }: {
    readonly cursor?: string | undefined
    readonly limit?: number | undefined
  }) => {
    const before = toolkits.findIndex(({ slug }) => slug === cursor)
    if (cursor !== undefined && before < 0) {
      return Effect.fail(new InvalidRequest({ message: "the cursor is not one of this list", slug: "invalid_cursor" }))
    }
    const items = toolkits.slice(before + 1, before + 1 + limit)
    const last = items.at(-1)
    return Effect.succeed({ items, nextCursor: last === toolkits.at(-1) ? undefined : last?.slug })
  }

/** The handlers. */
export const toolkitsHandlers = Effect.map(Toolkits, (toolkits) => (version: ApiVersion) => ({
  list: Effect.fnUntraced(function* ({ query }: { readonly query: typeof ToolkitsQuery.Type }) {
    const found = (yield* toolkits.list).filter(matches(query))
    const page = yield* paged(query, pageFrom(found), Effect.succeed(found.length))
    return HttpServerResponse.jsonUnsafe({ ...page, items: yield* Effect.forEach(page.items, listed(version)) })
  }),
  get: Effect.fnUntraced(function* ({ params: { slug } }: { readonly params: { readonly slug: string } }) {
    const found = yield* toolkits.get(slug)
    if (Option.isNone(found)) {
      return yield* new AccountNotFound({ message: "there is no toolkit of that slug", slug: "toolkit_not_found" })
    }
    return HttpServerResponse.jsonUnsafe(yield* detailed(version)(found.value))
  })
}))
