/**
 * Changes to values by name and to auth configs, and the filter of auth configs. Every provider of `Connections` applies them in the same way.
 *
 * @module
 */
import { Record, type Schema } from "effect"
import type { AuthConfig } from "../AuthConfig.ts"
import type { AuthConfigChanges, AuthConfigFilter } from "../Connections.ts"

/** The values with the changes. Null removes one. */
export const merged = <A>(
  values: Readonly<Record<string, A>>,
  changes: Readonly<Record<string, A | null>> = {}
): Record<string, A> => {
  const all: Record<string, A | null> = { ...values, ...changes }
  return Record.filter(all, (value): value is A => value !== null)
}

/** The auth config with the changes. */
export const changed = (
  { allowAnotherIdentity, apiHosts, name, ...config }: AuthConfig,
  changes: AuthConfigChanges
): AuthConfig => {
  const nextName = changes.name === undefined ? name : changes.name
  const nextApiHosts = changes.apiHosts === undefined ? apiHosts : changes.apiHosts
  const anotherIdentity = changes.allowAnotherIdentity ?? allowAnotherIdentity
  return {
    ...config,
    profile: changes.profile ?? config.profile,
    settings: merged<Schema.Json>(config.settings, changes.settings),
    secrets: merged(config.secrets, changes.secrets),
    hosts: changes.hosts ?? config.hosts,
    ...(nextName === undefined || nextName === null ? {} : { name: nextName }),
    ...(nextApiHosts === undefined || nextApiHosts === null ? {} : { apiHosts: nextApiHosts }),
    ...(anotherIdentity === undefined ? {} : { allowAnotherIdentity: anotherIdentity })
  }
}

/** Whether a filter selects the auth config. */
export const selects = (
  { search, toolkits }: Omit<AuthConfigFilter, "isDisabled">,
  { id, name = "", toolkit }: Pick<AuthConfig, "id" | "name" | "toolkit">
): boolean => {
  const text = search?.toLowerCase() ?? ""
  return (
    (toolkits === undefined || toolkits.includes(toolkit)) &&
    [id, name].some((each) => each.toLowerCase().includes(text))
  )
}
