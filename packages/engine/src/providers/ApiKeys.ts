/**
 * Well-known API keys: how each is sent, and a harmless request that shows whether it works.
 *
 * @module
 */
import { AuthConfig } from "../account/AuthConfig.ts"
import { ProviderProfile } from "../account/ProviderProfile.ts"
import type { StaticSettings } from "../strategies/StaticCredential.ts"

/** A provider of API keys, ready to be registered. */
export interface ApiKeyProvider {
  readonly settings: StaticSettings
  /** A complete API_KEY auth config; each account brings its own `api_key`. Throws on a malformed `id`, as `AuthConfig.make` does. */
  readonly authConfig: (registration: ApiKeyRegistration) => AuthConfig
}

/** The application's part of an auth config for API keys. */
export interface ApiKeyRegistration {
  /** The auth config's id. */
  readonly id: string
  readonly projectId?: string | undefined
  /** Replaces single settings, such as the `probeUrl` of the region that the keys are bound to. */
  readonly settings?: Partial<ProbeSettings> | undefined
}

type ProbeSettings = StaticSettings & { readonly probeUrl: string }

const make = (name: string, settings: ProbeSettings): ApiKeyProvider => ({
  settings,
  authConfig: ({ id, projectId, settings: changed }) => {
    const merged: ProbeSettings = { ...settings, ...changed }
    return AuthConfig.make({
      id,
      ...(projectId === undefined ? {} : { projectId }),
      toolkit: name,
      scheme: "API_KEY",
      profile: ProviderProfile.make({ name, rotation: "none" }),
      settings: merged,
      hosts: [new URL(merged.probeUrl).host]
    })
  }
})

/**
 * OpenAI. Source: OpenAI API reference, "Authentication" and "List models". A key of a project with data residency is good at its region's
 * host alone, such as `eu.api.openai.com`, and a 401 elsewhere (`incorrect_hostname`): replace `probeUrl`. A restricted key's 403 stays
 * unverified.
 */
export const openai = make("openai", { probeUrl: "https://api.openai.com/v1/models", keyPrefix: "Bearer " })

/** Anthropic. Source: Anthropic API reference, "Authentication", "Versioning" and "List Models". */
export const anthropic = make("anthropic", {
  probeUrl: "https://api.anthropic.com/v1/models",
  keyHeader: "x-api-key",
  probeHeaders: { "anthropic-version": "2023-06-01" }
})

/** Stripe. Source: Stripe API reference, "Authentication" and "Retrieve balance". A restricted key's 403 stays unverified. */
export const stripe = make("stripe", { probeUrl: "https://api.stripe.com/v1/balance", keyPrefix: "Bearer " })

/**
 * SendGrid. Source: Twilio SendGrid API reference, "Authentication" and "Retrieve a list of scopes for which this user has access". Keys of
 * EU subusers belong to `api.eu.sendgrid.com`: replace `probeUrl`.
 */
export const sendgrid = make("sendgrid", { probeUrl: "https://api.sendgrid.com/v3/scopes", keyPrefix: "Bearer " })
