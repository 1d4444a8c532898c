/**
 * The engine's providers as a catalogue of toolkits.
 *
 * @module
 */
import { Providers } from "@rekindle/engine"

/** What some providers need to know before they have an address: whose subdomain, tenant or shop it is. */
export interface Label {
  /** The name among the credentials. */
  readonly name: string
  readonly title: string
  readonly description: string
  /** Absent: it has to be entered. */
  readonly fallback?: string | undefined
}

/** A provider in the catalogue. */
export type Entry =
  | {
      readonly scheme: "OAUTH2"
      readonly slug: string
      readonly about: Providers.About
      readonly label: Label | undefined
      /** Throws on a malformed label. */
      readonly provider: (label: string) => Providers.Provider
    }
  | {
      readonly scheme: "API_KEY"
      readonly slug: string
      readonly about: Providers.About
      readonly provider: Providers.ApiKeyProvider
    }

/** The providers that are functions of a label, by their names among the exports. */
const labelled = {
  entra: {
    provider: Providers.entra,
    label: {
      name: "tenant",
      title: "Tenant",
      description: "A tenant's id or domain, or common, organizations or consumers",
      fallback: "common"
    }
  },
  salesforce: {
    provider: Providers.salesforce,
    label: {
      name: "domain",
      title: "Domain",
      description: "login, or test for sandboxes, or the label of a My Domain",
      fallback: "login"
    }
  },
  shopify: {
    provider: Providers.shopify,
    label: { name: "shop", title: "Shop", description: "The shop in <shop>.myshopify.com" }
  },
  zendesk: {
    provider: Providers.zendesk,
    label: { name: "subdomain", title: "Subdomain", description: "The subdomain in <subdomain>.zendesk.com" }
  }
} as const satisfies Readonly<
  Record<string, { readonly provider: (label: string) => Providers.Provider; readonly label: Label }>
>

const noFacts: Providers.About = { title: "", sources: [], facts: {} }

/** Stands for the label where only the facts of a provider are read. */
const anyLabel = "example"

const oauth2 = (provider: (label: string) => Providers.Provider, label?: Label): Entry => {
  const { about = noFacts, profile } = provider(label?.fallback ?? anyLabel)
  return { scheme: "OAUTH2", slug: profile.name, about, label, provider }
}

/** Every provider of the engine, in the order of the slugs. */
export const catalogue: ReadonlyArray<Entry> = [
  ...Object.values(labelled).map(({ label, provider }) => oauth2(provider, label)),
  ...Object.values(Providers).flatMap((provider): ReadonlyArray<Entry> => {
    if (typeof provider === "function") return []
    if ("profile" in provider) return [oauth2(() => provider)]
    const { toolkit: slug } = provider.authConfig({ id: anyLabel })
    return [{ scheme: "API_KEY", slug, about: provider.about, provider }]
  })
].toSorted((one, other) => (one.slug < other.slug ? -1 : 1))
