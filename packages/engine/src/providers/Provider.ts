/**
 * Describes a provider of OAuth 2, and adds an application's own part to it. Each provider is data, in a file beside this one that is named after
 * it.
 *
 * @module
 */
import { AuthConfig, Expected, ProviderProfile } from "@rekindle/core"
import { Duration, Predicate, Redacted, Schema } from "effect"
import type { OAuth2Settings } from "../strategies/OAuth2.ts"

/** The provider's part of OAUTH2 settings. The client id is the application's. */
export type ProviderSettings = Omit<(typeof OAuth2Settings)["Encoded"], "clientId">

/** The sources of a provider's facts. `docs/providers.md` is generated from them. */
export interface About {
  /** The provider's name for people. */
  readonly title: string
  /** When all facts were last compared with their sources, as `YYYY-MM-DD`. Absent: not dated. */
  readonly checked?: string | undefined
  /** The pages that the facts are taken from. */
  readonly sources: ReadonlyArray<string>
  /** For each field: what the sources say, or what is assumed if they say nothing. */
  readonly facts: Readonly<Record<string, string>>
}

/**
 * Changes to settings. A record (`authorizationParameters`, `tokenHeaders`, …) is merged into the provider's, and null removes an entry. Any
 * other value replaces the provider's.
 */
export type Changes<Settings> = {
  readonly [Name in keyof Settings]?:
    | (NonNullable<Settings[Name]> extends Readonly<Record<string, string>>
        ? Readonly<Record<string, string | null>>
        : Settings[Name])
    | undefined
}

/** The application's part of an auth config. */
export interface Registration {
  /** The auth config's id. */
  readonly id: string
  readonly clientId: string
  /** Absent for a public client, and for a client that authenticates with a key in `secrets`. */
  readonly clientSecret?: string | Redacted.Redacted<string> | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
  readonly projectId?: string | undefined
  /** Further secrets, such as `private_key`. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Changes to single settings, such as the endpoints of a sandbox or further parameters. */
  readonly settings?: Changes<ProviderSettings> | undefined
  /** The hosts of the API, where the application calls others than the provider's usual ones: see `AuthConfig.apiHosts`. */
  readonly apiHosts?: ReadonlyArray<string> | undefined
  /** Changes to single facts, if the application's registration differs from the provider's defaults. */
  readonly profile?: Changes<ProviderProfile> | undefined
}

/** A provider ready to be registered. */
export interface Provider {
  /** Undefined for a custom provider without sources. */
  readonly about: About | undefined
  readonly profile: ProviderProfile
  readonly settings: ProviderSettings
  /** The hosts of its endpoints. */
  readonly hosts: ReadonlyArray<string>
  /** The hosts of its API, which requests may carry an account's token to. Undefined: those of its endpoints. */
  readonly apiHosts: ReadonlyArray<string> | undefined
  /** Makes a complete OAUTH2 auth config. Throws on a malformed `id`, as `AuthConfig.make` does. */
  readonly authConfig: (registration: Registration) => AuthConfig
}

/** The definition of a provider. */
export interface Definition {
  readonly about?: About | undefined
  readonly profile: Parameters<typeof ProviderProfile.make>[0]
  readonly settings: ProviderSettings
  /** The hosts of its API: see `AuthConfig.apiHosts`. Default: those of its endpoints. */
  readonly apiHosts?: ReadonlyArray<string> | undefined
  /** The authorization parameter that carries the scopes. Default `scope`. */
  readonly scopeParameter?: string | undefined
  /** The scope that a refresh token requires. It is added to the application's scopes, if the application names any. */
  readonly offlineScope?: string | undefined
}

const hostsOf = (settings: ProviderSettings): ReadonlyArray<string> => {
  const { authorizationEndpoint, issuer, pushedRequestEndpoint, revocationEndpoint, tokenEndpoint } = settings
  const urls = [issuer, authorizationEndpoint, tokenEndpoint, revocationEndpoint, pushedRequestEndpoint]
  return [...new Set(urls.flatMap((url) => (url === undefined ? [] : [new URL(url).host])))]
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isObject(value) && !Array.isArray(value) && !Duration.isDuration(value)

/** Applies changes. Undefined values change nothing. */
export const change = <Settings extends object>(settings: Settings, changes: Changes<Settings> = {}): Settings => {
  const before = new Map<string, unknown>(Object.entries(settings))
  const after = Object.entries(changes).flatMap(([name, value]) => {
    if (value === undefined) return []
    const held = before.get(name)
    if (!isRecord(value)) return [[name, value] as const]
    const merged = { ...(isRecord(held) ? held : {}), ...value }
    return [[name, Object.fromEntries(Object.entries(merged).filter(([, entry]) => entry !== null))] as const]
  })
  return { ...settings, ...Object.fromEntries(after) }
}

/** Makes a provider from its definition. Use it for custom providers too. */
export const make = ({
  about,
  apiHosts,
  offlineScope,
  profile: facts,
  scopeParameter,
  settings
}: Definition): Provider => {
  const profile = ProviderProfile.make(facts)

  const withScopes = (merged: ProviderSettings, asked: ReadonlyArray<string>): ProviderSettings => {
    const scopes = offlineScope === undefined || asked.includes(offlineScope) ? asked : [...asked, offlineScope]
    return scopeParameter === undefined
      ? { ...merged, scopes }
      : {
          ...merged,
          authorizationParameters: {
            ...merged.authorizationParameters,
            [scopeParameter]: scopes.join(merged.scopeSeparator ?? " ")
          }
        }
  }

  return {
    about,
    profile,
    settings,
    hosts: hostsOf(settings),
    apiHosts,
    authConfig: ({
      apiHosts: ownHosts = apiHosts,
      clientId,
      clientSecret,
      id,
      projectId,
      scopes,
      secrets,
      ...changed
    }) => {
      const merged = change(settings, changed.settings)
      return AuthConfig.make({
        id,
        ...(projectId === undefined ? {} : { projectId }),
        toolkit: profile.name,
        scheme: "OAUTH2",
        profile: change(profile, changed.profile),
        settings: { ...(scopes === undefined ? merged : withScopes(merged, scopes)), clientId },
        secrets: {
          ...secrets,
          ...(clientSecret === undefined
            ? {}
            : { client_secret: Redacted.isRedacted(clientSecret) ? clientSecret : Redacted.make(clientSecret) })
        },
        hosts: hostsOf(merged),
        ...(ownHosts === undefined ? {} : { apiHosts: ownHosts })
      })
    }
  }
}

/**
 * A customer's name, as a label of a provider's host names. Customers often enter it themselves, and the application's secret is sent to the
 * resulting host. Text that could name another host is therefore refused.
 */
export const DomainLabel = Schema.String.check(
  Schema.isPattern(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, {
    expected: "one domain label: letters a to z, digits and hyphens"
  })
).pipe(Expected.sayExpected("the customer's name"))

/** A customer's name of one or two labels. */
export const DomainLabels = Schema.String.check(
  Schema.isPattern(/^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})?$/, {
    expected: "one or two domain labels: letters a to z, digits and hyphens"
  })
).pipe(Expected.sayExpected("the customer's domain"))
