/**
 * The toolkits of the service: the engine's providers, and auth configs from the credentials that people enter for them.
 *
 * A toolkit that no provider knows needs its endpoints among the credentials, and gets the cautious profile.
 *
 * @module
 */
import { AuthConfig, type AuthScheme, InvalidRequest } from "@rekindle/core"
import type { Providers } from "@rekindle/engine"
import { type Toolkit, type ToolkitCredentials, type ToolkitField, Toolkits } from "@rekindle/platform"
import { Array, DateTime, Effect, Layer, Option, Record, type Redacted, Result, Schema } from "effect"
import { catalogue, type Entry } from "./catalogue.ts"
import { sorted } from "./credentials.ts"

const field = (name: string, title: string, description: string, rest: Partial<ToolkitField> = {}): ToolkitField => ({
  name,
  title,
  description,
  isRequired: true,
  isSecret: false,
  ...rest
})

const fieldsOf = (
  entry: Entry
): { readonly config: ReadonlyArray<ToolkitField>; readonly account: ReadonlyArray<ToolkitField> } => {
  if (entry.scheme === "API_KEY") {
    return { config: [], account: [field("api_key", "API key", "A key of the account", { isSecret: true })] }
  }
  const { label } = entry
  return {
    config: [
      ...(label === undefined
        ? []
        : [field(label.name, label.title, label.description, { isRequired: label.fallback === undefined })]),
      field("client_id", "Client id", "The id of the application's client at the provider"),
      field("client_secret", "Client secret", "Its secret. A public client has none", {
        isRequired: false,
        isSecret: true
      }),
      field("scopes", "Scopes", "What people are asked to permit: a list, or text with commas or spaces", {
        isRequired: false
      })
    ],
    account: []
  }
}

/** The day of the facts of providers whose own is not known. */
const unknownDay = "2026-01-01"

const toolkitOf = (slug: string, entries: Array.NonEmptyReadonlyArray<Entry>): Toolkit => {
  const [{ about }] = entries
  return {
    slug,
    name: about.title,
    description: `Accounts at ${about.title}`,
    checkedAt: DateTime.makeUnsafe(about.checked ?? unknownDay),
    schemes: entries.map((entry) => {
      const { account, config } = fieldsOf(entry)
      return { scheme: entry.scheme, configFields: config, accountFields: account }
    })
  }
}

const toolkits: ReadonlyArray<Toolkit> = Object.entries(Array.groupBy(catalogue, ({ slug }) => slug)).map(
  ([slug, entries]) => toolkitOf(slug, entries)
)

const entryOf = (toolkit: string, scheme: AuthScheme) =>
  catalogue.find((entry) => entry.slug === toolkit && entry.scheme === scheme)

const invalid = (errors: ReadonlyArray<string>) =>
  new InvalidRequest({ message: "the credentials have mistakes", slug: "invalid_auth_config", errors })

const missing = (name: string) => invalid([`credentials.${name}: it is missing`])

/** The provider, and the credentials without its label. */
const labelled = (
  { label, provider }: Extract<Entry, { readonly scheme: "OAUTH2" }>,
  credentials: ToolkitCredentials
): Effect.Effect<{ readonly provider: Providers.Provider; readonly rest: ToolkitCredentials }, InvalidRequest> => {
  if (label === undefined) return Effect.succeed({ provider: provider(""), rest: credentials })
  const { [label.name]: given = label.fallback, ...rest } = credentials
  if (typeof given !== "string" || given === "") return Effect.fail(missing(label.name))
  return Result.match(
    Result.try(() => provider(given)),
    {
      onFailure: () => Effect.fail(invalid([`credentials.${label.name}: Expected ${label.description}`])),
      onSuccess: (made) => Effect.succeed({ provider: made, rest })
    }
  )
}

const present = (secrets: Readonly<Record<string, Redacted.Redacted<string> | null>>) =>
  Record.filter(secrets, (secret) => secret !== null)

const authConfig: Toolkits["Service"]["authConfig"] = Effect.fnUntraced(function* ({
  credentials,
  id,
  name,
  scheme,
  toolkit
}) {
  const entry = entryOf(toolkit, scheme)
  const named = name === undefined ? {} : { name }
  if (entry?.scheme === "OAUTH2") {
    const { provider, rest } = yield* labelled(entry, credentials)
    const { apiHosts, hosts, scopes, secrets, settings } = sorted(rest)
    const clientId = settings["clientId"]
    if (typeof clientId !== "string" || clientId === "") return yield* missing("client_id")
    const config = provider.authConfig({ id, clientId, scopes, apiHosts, secrets: present(secrets) })
    return {
      ...config,
      ...named,
      settings: { ...config.settings, ...settings },
      hosts: Array.union(config.hosts, hosts)
    }
  }
  const { apiHosts, hosts, scopes, secrets, settings } = sorted(credentials)
  const config = entry?.provider.authConfig({ id })
  return AuthConfig.make({
    ...config,
    ...named,
    id,
    toolkit,
    scheme,
    settings: { ...config?.settings, ...settings, ...(scopes !== undefined && { scopes }) },
    secrets: present(secrets),
    hosts: Array.union(config?.hosts ?? [], hosts),
    ...(apiHosts !== undefined && { apiHosts })
  })
})

const isRecord = Schema.is(Schema.Record(Schema.String, Schema.Json))

const recordOf = (value: Schema.Json | undefined) => (isRecord(value) ? value : {})

/** The settings that carry scopes. Some providers take them under another name, or need one more of them. */
const scopeSettings = (
  entry: Entry | undefined,
  config: Pick<AuthConfig, "id" | "settings">,
  scopes: ReadonlyArray<string>
) => {
  if (entry?.scheme !== "OAUTH2") return { scopes }
  // The label is about addresses, and scopes do not depend on it.
  const { settings } = entry
    .provider(entry.label?.fallback ?? "example")
    .authConfig({ id: config.id, clientId: "", scopes })
  return settings["scopes"] === undefined
    ? {
        authorizationParameters: {
          ...recordOf(config.settings["authorizationParameters"]),
          ...recordOf(settings["authorizationParameters"])
        }
      }
    : { scopes: settings["scopes"] }
}

const changes: Toolkits["Service"]["changes"] = (config, credentials) => {
  const { apiHosts, hosts, scopes, secrets, settings } = sorted(credentials)
  const scoped = scopes === undefined ? {} : scopeSettings(entryOf(config.toolkit, config.scheme), config, scopes)
  return Effect.succeed({
    settings: { ...settings, ...scoped },
    secrets,
    ...(hosts.length > 0 && { hosts: Array.union(config.hosts, hosts) }),
    ...(apiHosts !== undefined && { apiHosts })
  })
}

/** The engine's providers as toolkits. */
export const layer: Layer.Layer<Toolkits> = Layer.succeed(
  Toolkits,
  Toolkits.of({
    list: Effect.succeed(toolkits),
    get: (slug) => Effect.succeed(Option.fromUndefinedOr(toolkits.find((toolkit) => toolkit.slug === slug))),
    authConfig,
    changes
  })
)
