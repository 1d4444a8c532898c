/**
 * What the engine knows about a provider beforehand, and how an application's own part is added to it. The providers themselves are data,
 * in the files beside this one, by what it costs when one of their answers is lost.
 *
 * @module
 */
import { Redacted, Schema } from "effect"
import { AuthConfig } from "../account/AuthConfig.ts"
import { ProviderProfile } from "../account/ProviderProfile.ts"
import type { OAuth2Settings } from "../strategies/OAuth2.ts"

/** The part of an OAUTH2 auth config's settings that is the provider's; the client id is the application's. */
export type ProviderSettings = Omit<OAuth2Settings, "clientId">

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
  /** Replaces single settings, such as the endpoints of a sandbox. */
  readonly settings?: Partial<ProviderSettings> | undefined
  /** Replaces single facts, where this application's own settings at the provider differ from the provider's defaults. */
  readonly profile?: Partial<ProviderProfile> | undefined
}

/** A provider ready to be registered. */
export interface Provider {
  readonly profile: ProviderProfile
  readonly settings: ProviderSettings
  /** The hosts of its endpoints. */
  readonly hosts: ReadonlyArray<string>
  /** A complete OAUTH2 auth config. Throws on a malformed `id`, as `AuthConfig.make` does. */
  readonly authConfig: (registration: Registration) => AuthConfig
}

/** What is written down for one provider. */
export interface Definition {
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

/** Makes a provider out of its definition. For providers of your own too. */
export const make = ({ offlineScope, profile: facts, scopeParameter, settings }: Definition): Provider => {
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
    profile,
    settings,
    hosts: hostsOf(settings),
    authConfig: ({ clientId, clientSecret, id, projectId, scopes, secrets, ...changed }) => {
      const merged: ProviderSettings = { ...settings, ...changed.settings }
      return AuthConfig.make({
        id,
        ...(projectId === undefined ? {} : { projectId }),
        toolkit: profile.name,
        scheme: "OAUTH2",
        profile: { ...profile, ...changed.profile },
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
export const DomainLabel = Schema.String.check(Schema.isPattern(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/))
