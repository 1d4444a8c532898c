/**
 * What the engine knows about a provider beforehand, and how an application's own part is added to it. The providers themselves are data,
 * in the files beside this one: one file for each, named after it.
 *
 * @module
 */
import { Expected } from "@rekindle/core"
import { Duration, Predicate, Redacted, Schema } from "effect"
import { AuthConfig } from "../account/AuthConfig.ts"
import { ProviderProfile } from "../account/ProviderProfile.ts"
import type { OAuth2Settings } from "../strategies/OAuth2.ts"

/** The part of an OAUTH2 auth config's settings that is the provider's; the client id is the application's. */
export type ProviderSettings = Omit<(typeof OAuth2Settings)["Encoded"], "clientId">

/** Where the knowledge of a provider comes from. `docs/providers.md` is made of it. */
export interface About {
  /** The provider's name for people. */
  readonly title: string
  /** When the facts were last compared with their sources, as `YYYY-MM-DD`; absent: not dated. */
  readonly checked?: string | undefined
  /** The pages that the facts are taken from. */
  readonly sources: ReadonlyArray<string>
  /** For each field that is set, what the sources say, and what is assumed where they say nothing. */
  readonly facts: Readonly<Record<string, string>>
}

/**
 * Changes to settings. A record (`authorizationParameters`, `tokenHeaders`, …) is merged into the provider's, and null takes one of its
 * entries out; anything else replaces what the provider has.
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
  /** Absent for a public client, or for one that authenticates with a key in `secrets`. */
  readonly clientSecret?: string | Redacted.Redacted<string> | undefined
  readonly scopes?: ReadonlyArray<string> | undefined
  readonly projectId?: string | undefined
  /** Further secrets, such as `private_key`. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Changes single settings, such as the endpoints of a sandbox, or adds to the provider's parameters. */
  readonly settings?: Changes<ProviderSettings> | undefined
  /** Replaces single facts, where this application's own settings at the provider differ from the provider's defaults. */
  readonly profile?: Changes<ProviderProfile> | undefined
}

/** A provider ready to be registered. */
export interface Provider {
  /** Absent for a provider of your own that says nothing of its sources. */
  readonly about: About | undefined
  readonly profile: ProviderProfile
  readonly settings: ProviderSettings
  /** The hosts of its endpoints. */
  readonly hosts: ReadonlyArray<string>
  /** A complete OAUTH2 auth config. Throws on a malformed `id`, as `AuthConfig.make` does. */
  readonly authConfig: (registration: Registration) => AuthConfig
}

/** What is written down for one provider. */
export interface Definition {
  readonly about?: About
  readonly profile: Parameters<typeof ProviderProfile.make>[0]
  readonly settings: ProviderSettings
  /** The authorization parameter that carries the scopes, where it is not `scope`. */
  readonly scopeParameter?: string
  /** The scope without which there is no refresh token. It joins the application's; an application that names none asks for none. */
  readonly offlineScope?: string
}

const hostsOf = (settings: ProviderSettings): ReadonlyArray<string> => {
  const { authorizationEndpoint, issuer, pushedRequestEndpoint, revocationEndpoint, tokenEndpoint } = settings
  const urls = [issuer, authorizationEndpoint, tokenEndpoint, revocationEndpoint, pushedRequestEndpoint]
  return [...new Set(urls.flatMap((url) => (url === undefined ? [] : [new URL(url).host])))]
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isObject(value) && !Array.isArray(value) && !Duration.isDuration(value)

/** Applies changes. What is undefined changes nothing. */
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

/** Makes a provider out of its definition. For providers of your own too. */
export const make = ({ about, offlineScope, profile: facts, scopeParameter, settings }: Definition): Provider => {
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
    authConfig: ({ clientId, clientSecret, id, projectId, scopes, secrets, ...changed }) => {
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
        hosts: hostsOf(merged)
      })
    }
  }
}

/**
 * A customer's name in a provider's host names. It often comes from the customer, and a request with the application's secret goes to the
 * host made of it: nothing that could name another host passes.
 */
export const DomainLabel = Schema.String.check(
  Schema.isPattern(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, {
    expected: "one domain label: letters a to z, digits and hyphens"
  })
).pipe(Expected.sayExpected("the customer's name"))

/** The same, of one or two labels. */
export const DomainLabels = Schema.String.check(
  Schema.isPattern(/^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})?$/, {
    expected: "one or two domain labels: letters a to z, digits and hyphens"
  })
).pipe(Expected.sayExpected("the customer's domain"))
