/**
 * Describes a provider of API keys: how a key is sent, and a harmless request that shows whether it works.
 *
 * @module
 */
import { AuthConfig, ProviderProfile } from "@rekindle/core"
import type { StaticSettings } from "../strategies/StaticCredential.ts"
import { type About, type Changes, change } from "./Provider.ts"

/** A provider of API keys, ready to be registered. */
export interface ApiKeyProvider {
  readonly about: About
  readonly settings: (typeof StaticSettings)["Encoded"]
  /** Makes a complete API_KEY auth config. Each account brings its own `api_key`. Throws on a malformed `id`, as `AuthConfig.make` does. */
  readonly authConfig: (registration: ApiKeyRegistration) => AuthConfig
}

/** The application's part of an auth config for API keys. */
export interface ApiKeyRegistration {
  /** The auth config's id. */
  readonly id: string
  readonly projectId?: string | undefined
  /** Changes to single settings, such as the `probeUrl` of the keys' region. */
  readonly settings?: Changes<ProbeSettings> | undefined
}

type ProbeSettings = (typeof StaticSettings)["Encoded"] & { readonly probeUrl: string }

/** Makes a provider of API keys. */
export const make = (name: string, about: About, settings: ProbeSettings): ApiKeyProvider => ({
  about,
  settings,
  authConfig: ({ id, projectId, settings: changes }) => {
    const changed = change(settings, changes)
    return AuthConfig.make({
      id,
      ...(projectId === undefined ? {} : { projectId }),
      toolkit: name,
      scheme: "API_KEY",
      profile: ProviderProfile.make({ name, rotation: "none" }),
      settings: changed,
      hosts: [new URL(changed.probeUrl).host]
    })
  }
})
