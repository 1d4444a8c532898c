/**
 * `docs/settings.md`, from the declarations of the options, the settings of schemes and the profile.
 *
 * @module
 */
import { docOf, type Member, membersOf } from "./docstrings.ts"
import { anchor, page, table } from "./markdown.ts"

/** A table of the page: what takes the settings, and where they are declared. */
interface Section {
  readonly title: string
  /** The expression that takes them. */
  readonly taker: string
  readonly file: string
  readonly name: string
}

const section = (title: string, taker: string, file: string, name: string): Section => ({ title, taker, file, name })

const groups: ReadonlyArray<readonly [title: string, sections: ReadonlyArray<Section>]> = [
  [
    "The engine",
    [
      section("Engine", "Engine.layer, Engine.layerSqlite", "engine/src/Engine.ts", "EngineOptions"),
      section("Consent", "consent", "engine/src/consent/Consent.ts", "ConsentOptions"),
      section("Coordinator", "coordinator", "engine/src/renewal/RefreshCoordinator.ts", "CoordinatorOptions"),
      section("Commit", "commit", "engine/src/renewal/TokenCommit.ts", "TokenCommitOptions"),
      section("Egress", "egress", "engine/src/egress/Egress.ts", "EgressOptions"),
      section("Journal", "journal, Journal.layerDirectory", "engine/src/renewal/Journal.ts", "JournalOptions"),
      section("Retention", "retention", "engine/src/renewal/Retention.ts", "RetentionOptions"),
      section("Renewer", "Renewer.layer", "engine/src/renewal/Renewer.ts", "RenewerOptions"),
      section("SQLite", "SqliteClient.layer", "engine/src/store/SqliteClient.ts", "SqliteOptions")
    ]
  ],
  [
    "Auth configs",
    [
      section("Auth config", "authConfigs.register", "core/src/AuthConfig.ts", "AuthConfig"),
      section("Provider profile", "profile", "core/src/ProviderProfile.ts", "ProviderProfile"),
      section("OAUTH2", "settings", "engine/src/strategies/OAuth2.ts", "OAuth2Settings"),
      section(
        "S2S_OAUTH2, and the token endpoint of OAUTH2",
        "settings",
        "engine/src/strategies/TokenEndpoint.ts",
        "TokenEndpointSettings"
      ),
      section("OAUTH1", "settings", "engine/src/strategies/OAuth1.ts", "OAuth1Settings"),
      section("BASIC_WITH_JWT", "settings", "engine/src/strategies/BasicWithJwt.ts", "BasicWithJwtSettings"),
      section(
        "GOOGLE_SERVICE_ACCOUNT",
        "settings",
        "engine/src/strategies/GoogleServiceAccount.ts",
        "GoogleServiceAccountSettings"
      ),
      section("API_KEY, BEARER_TOKEN, BASIC", "settings", "engine/src/strategies/StaticCredential.ts", "StaticSettings")
    ]
  ],
  [
    "Client and server",
    [
      section("Client", "RekindleClient.layer", "platform/src/RekindleClient.ts", "Options"),
      section("Server", "RekindleServer.layerWith", "platform/src/RekindleServer.ts", "Options"),
      section("Client of Promises", "client", "platform/src/Promise.ts", "ClientOptions"),
      section("Handler of Promises", "handler", "platform/src/Promise.ts", "HandlerOptions")
    ]
  ],
  [
    "Policies",
    [
      section("Standard pipeline", "Resilience.standard", "core/src/resilience/Standard.ts", "StandardOptions"),
      section("Retry", "Resilience.retry", "core/src/resilience/Retry.ts", "RetryOptions"),
      section(
        "Retry budget",
        "budget, Resilience.layerRetryBudget",
        "core/src/resilience/RetryBudget.ts",
        "RetryBudgetOptions"
      ),
      section("Reconcile", "Resilience.reconcile, reconcile", "core/src/resilience/Reconcile.ts", "ReconcileOptions"),
      section(
        "Circuit breaker",
        "Resilience.circuitBreaker",
        "core/src/resilience/CircuitBreaker.ts",
        "CircuitBreakerOptions"
      ),
      section("Bulkhead", "Resilience.bulkhead", "core/src/resilience/Bulkhead.ts", "BulkheadOptions"),
      section("Rate limit", "Resilience.rateLimit", "core/src/resilience/RateLimit.ts", "RateLimitOptions"),
      section("Coalesce", "Resilience.coalesce", "core/src/resilience/Coalesce.ts", "CoalesceOptions"),
      section("Fallback", "Resilience.fallback", "core/src/resilience/Fallback.ts", "FallbackOptions"),
      section("Settings for single calls", "Resilience.Settings", "core/src/resilience/Settings.ts", "Settings")
    ]
  ],
  [
    "Calls",
    [
      section("Refresh", "ConnectedAccounts.refresh", "core/src/ConnectedAccounts.ts", "RefreshOptions"),
      section("With refresh", "Resilience.withRefresh", "core/src/resilience/WithRefresh.ts", "WithRefreshOptions"),
      section("Await active", "Resilience.awaitActive", "core/src/resilience/AwaitActive.ts", "AwaitActiveOptions"),
      section("Link", "Connections.link", "core/src/Connections.ts", "LinkOptions"),
      section("Revoke", "Connections.revoke", "core/src/Connections.ts", "RevokeOptions"),
      section("Page of a list", "Connections.list, authConfigs.list", "core/src/Connections.ts", "PageOptions"),
      section("Filter of accounts", "Connections.list, count", "core/src/Connections.ts", "AccountFilter"),
      section("Order of accounts", "Connections.list", "core/src/Connections.ts", "ListOptions"),
      section("Filter of auth configs", "authConfigs.list, count", "core/src/Connections.ts", "AuthConfigFilter"),
      section("Events", "Connections.events", "core/src/Connections.ts", "EventsOptions")
    ]
  ]
]

/** The declarations on the page. */
export const sections: ReadonlyArray<Section> = groups.flatMap(([, sections]) => sections)

/** The variables that the sources read from the environment. */
export const variables: ReadonlyArray<readonly [name: string, reader: string, meaning: string]> = [
  [
    "REKINDLE_KEYS",
    "`CredentialVault.layerConfig`",
    "the keys that seal secrets: `id:key,…`, the newest first. A key is 32 random bytes in base64"
  ],
  ["REKINDLE_BASE_URL", "`RekindleClient.layerConfig`", "the URL before `/api/v3`"],
  ["REKINDLE_API_KEY", "`RekindleClient.layerConfig`", "the key to send as `x-api-key`"],
  [
    "REKINDLE_ALLOW_INSECURE_HTTP",
    "`RekindleClient.layerConfig`",
    "whether the key may be sent over plain http to another machine. Default false"
  ],
  ["HTTPS_PROXY", "the engine", "the proxy for requests to https addresses; also in lower case"],
  ["HTTP_PROXY", "the engine", "the proxy for requests to http addresses; also in lower case"],
  ["NO_PROXY", "the engine", "hosts that are reached directly; also in lower case"],
  ["SSL_CERT_FILE", "the engine", "certificate authorities to trust besides the runtime's own"],
  ["SSL_CERT_DIR", "the engine", "the same, as a directory"],
  ["NODE_EXTRA_CA_CERTS", "the engine", "the same as `SSL_CERT_FILE`"]
]

const names: Readonly<Record<string, string>> = {
  string: "string",
  number: "number",
  boolean: "boolean",
  false: "`false`",
  function: "function",
  "Duration.Input": "duration",
  "Schema.String": "string",
  "Schema.Boolean": "boolean",
  "Schema.Int": "integer",
  "Schema.Finite": "number",
  "Schema.DurationFromMillis": "duration",
  Url: "URL",
  Address: "URL",
  URL: "URL"
}

/** The type as a reader knows it, from a type or a schema. */
const typeOf = (declared: string): string => {
  const text = declared.replace(/ \| undefined$/, "")
  const inside = (form: RegExp) => form.exec(text)?.[1]
  const optional = inside(/^Schema\.optionalKey\((.*)\)$/)
  if (optional !== undefined) return typeOf(optional)
  // A check or a default is no part of the type.
  const bare = text.replace(/\.(?:pipe|check)\(.*\)$/, "")
  if (bare !== text) return typeOf(bare)
  const item = inside(/^(?:Schema\.Array\(|ReadonlyArray<)(.*)[)>]$/)
  if (item !== undefined) return `list of ${typeOf(item)}`
  const members = inside(/^Schema\.(?:Literals|Literal|Union)\(\[?(.*?)\]?\)$/)
  if (members !== undefined) return members.split(", ").map(typeOf).join(" or ")
  if (text.startsWith("Schema.Record(")) return "object"
  return text
    .replace(/\(*\(.*=> .*/, "function")
    .split(" | ")
    .map((part) => names[part] ?? linked(part))
    .join(" or ")
}

/** A type that has a table of its own leads to it. */
const linked = (type: string): string => {
  const found = sections.find(({ name }) => name === type.replace(/^\w+\./, "") && name !== "Options")
  return found === undefined ? `\`${type}\`` : `[${found.title}](#${anchor(found.title)})`
}

/** The default as the docstring states it, and the docstring without it. */
const split = ({ doc, optional }: Member): readonly [value: string, meaning: string] => {
  const [sentence, stated] = /\bDefaults?:? ([^]*?)(?:\.(?= |$|<)|$)/.exec(doc) ?? []
  if (sentence === undefined || stated === undefined) return [optional ? "–" : "required", doc]
  return [stated, doc.replace(sentence, "").replaceAll(/ {2,}/g, " ").trim()]
}

const settingsOf = ({ file, name, taker, title }: Section): ReadonlyArray<string> => [
  `### ${title}`,
  `${taker
    .split(", ")
    .map((part) => `\`${part}\``)
    .join(", ")}. ${docOf(file, name)}`,
  table(
    ["setting", "type", "default", "meaning"],
    membersOf(file, name).map((member) => [`\`${member.name}\``, typeOf(member.declared), ...split(member)])
  )
]

/** The text of the page. */
export const settingsPage = (): string =>
  page(
    "the docstrings of the options in packages/*/src",
    "# Settings",
    'Everything that can be set, and what happens if it is not. A duration is text such as `"5 minutes"`, a number of milliseconds, or a `Duration` of Effect. Sizes are in bytes.',
    "## Environment",
    "A layer whose name ends in `Config` reads these variables through Effect's `Config`, so any `ConfigProvider` can give them.",
    table(
      ["variable", "read by", "meaning"],
      variables.map(([name, ...rest]) => [`\`${name}\``, ...rest])
    ),
    ...groups.flatMap(([title, sections]) => [`## ${title}`, ...sections.flatMap(settingsOf)])
  )
