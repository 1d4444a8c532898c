/**
 * Writes `docs/providers.md` out of what the engine knows of its providers. Run by `pnpm docs:providers`; a test compares the two.
 *
 * @module
 */
import * as Providers from "@rekindle/engine/Providers"
import { Duration, Predicate } from "effect"
import { writeFile } from "node:fs/promises"
import { pathToFileURL } from "node:url"

/** Where the page lies. */
export const pageUrl = new URL("../../../../docs/providers.md", import.meta.url)

const hasProfile = (value: unknown): value is Providers.Provider => Predicate.hasProperty(value, "profile")
const hasProbe = (value: unknown): value is Providers.ApiKeyProvider =>
  Predicate.hasProperty(value, "about") && !hasProfile(value)

/** Every provider of OAuth 2, by the expression that gives it. */
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

/** Columns are padded as the formatter pads them. */
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)))
  const row = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  return [row(head), row(widths.map((width) => "-".repeat(width))), ...rows.map(row)].join("\n")
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

/** The page, as the data say. */
export const page = (): string =>
  [
    "<!-- Written by `pnpm docs:providers`. Change the files in packages/engine/src/providers, not this page. -->",
    "# Providers",
    "What the engine knows of each provider, where that comes from, and when it was last checked. What a provider does not document is taken for the worse. [Adding a provider](adding-a-provider.md) shows how to add one.",
    [
      "- **Rotation** is what a refresh does to the refresh token. `none`: it stays the same. `rolling`: a new one comes, the old one works on. `single-use`: the use kills it, so a lost answer may cost a consent.",
      "- **Reuse window** is for how long a used refresh token is honoured once more.",
      "- **Access token** is its life where no answer states one.",
      "- **Idle** and **life** are after how long the refresh token dies unused, and in any case."
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
  ].join("\n\n") + "\n"

/** The anchor that renderers give a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, "")
    .replace(/\s/g, "-")

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  await writeFile(pageUrl, page())
