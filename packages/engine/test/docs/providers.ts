/**
 * `docs/providers.md`, from the engine's providers.
 *
 * @module
 */
import * as Providers from "@rekindle/engine/Providers"
import { Duration, Predicate } from "effect"
import { anchor, page, table } from "./markdown.ts"

const hasProfile = (value: unknown): value is Providers.Provider => Predicate.hasProperty(value, "profile")
const hasProbe = (value: unknown): value is Providers.ApiKeyProvider =>
  Predicate.hasProperty(value, "about") && !hasProfile(value)

/** Every provider of OAuth 2, with the expression that makes it. */
export const providers: ReadonlyArray<readonly [expression: string, provider: Providers.Provider]> = [
  ...Object.entries(Providers).flatMap(([name, value]) => (hasProfile(value) ? [[name, value] as const] : [])),
  ["entra(tenant)", Providers.entra()] as const,
  ["salesforce(domain)", Providers.salesforce()] as const,
  ["shopify(shop)", Providers.shopify("shop")] as const,
  ["zendesk(subdomain)", Providers.zendesk("subdomain")] as const
].toSorted(([, left], [, right]) => ((left.about?.title ?? "") < (right.about?.title ?? "") ? -1 : 1))

/** Every provider of API keys, by its name. */
export const keyProviders: ReadonlyArray<readonly [name: string, provider: Providers.ApiKeyProvider]> = Object.entries(
  Providers
).flatMap(([name, value]) => (hasProbe(value) ? [[name, value] as const] : []))

const units: ReadonlyArray<readonly [unit: string, millis: number]> = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000]
]

const time = (duration: Duration.Duration | undefined): string => {
  if (duration === undefined) return "–"
  const millis = Duration.toMillis(duration)
  const [unit, size] = units.find(([, size]) => millis >= size && millis % size === 0) ?? ["ms", 1]
  return `${millis / size} ${unit}`
}

const section = (expression: string, { checked, facts, sources, title }: Providers.About): string =>
  [
    `### ${title}`,
    `\`Providers.${expression}\`, ${checked === undefined ? "not dated" : `checked on ${checked}`}.`,
    Object.entries(facts)
      .map(([field, fact]) => `- ${field}: ${fact}`)
      .join("\n"),
    `Sources: ${sources.join("; ")}.`
  ].join("\n\n")

/** The text of the page. */
export const providersPage = (): string =>
  page(
    "the files in packages/engine/src/providers",
    "# Providers",
    "The facts about each provider, their sources, and when they were last checked. For what a provider does not document, the engine uses the cautious value. [Adding a provider](adding-a-provider.md) shows how to add one.",
    [
      "- **Rotation** is what a refresh does to the refresh token. `none`: it stays the same. `rolling`: a new one is issued, and the old one still works. `single-use`: it can be used once, so a lost answer may cost a consent.",
      "- **Reuse window** is how long a used refresh token is still accepted.",
      "- **Access token** is its life, if no answer states one.",
      "- **Idle** is how long an unused refresh token works. **Life** is how long any refresh token works."
    ].join("\n"),
    "## OAuth 2",
    table(
      ["provider", "rotation", "reuse window", "access token", "idle", "life"],
      providers.map(([expression, { about, profile }]) => [
        `[${about?.title ?? expression}](#${anchor(about?.title ?? expression)})`,
        profile.rotation,
        time(profile.reuseWindow),
        profile.accessTokenTtl === "never" ? "no end" : time(profile.accessTokenTtl),
        time(profile.refreshTokenIdle),
        time(profile.refreshTokenLife)
      ])
    ),
    ...providers.flatMap(([expression, { about }]) => (about === undefined ? [] : [section(expression, about)])),
    "## API keys",
    ...keyProviders.map(([name, { about }]) => section(name, about))
  )
