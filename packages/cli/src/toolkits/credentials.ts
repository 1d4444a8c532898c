/**
 * What people enter to register an application at a provider, under the names of the published contract: `client_id`, `client_secret`,
 * `authorization_url`. Rekindle keeps them as settings of the scheme, secrets, and hosts.
 *
 * @module
 */
import type { AuthConfigChanges } from "@rekindle/core"
import type { ToolkitCredentials } from "@rekindle/platform"
import { Redacted, type Schema } from "effect"

/** The settings with a published name. Any other setting of the scheme may be entered under its own name. */
const settingNames: Readonly<Record<string, string>> = {
  access_token_url: "accessTokenUrl",
  authorization_url: "authorizationEndpoint",
  authorize_url: "authorizeUrl",
  client_id: "clientId",
  consumer_key: "consumerKey",
  request_token_url: "requestTokenUrl",
  revocation_url: "revocationEndpoint",
  token_url: "tokenEndpoint"
}

const secretNames = new Set(["client_secret", "consumer_secret", "private_key"])

/** The callback is the server's own, so an application need not name it. */
const ignored = new Set(["oauth_redirect_uri"])

const textsOf = (value: Schema.Json): ReadonlyArray<string> =>
  (typeof value === "string" ? value.split(/[\s,]+/) : Array.isArray(value) ? value.map(String) : []).filter(
    (text) => text !== ""
  )

/** The hosts of every address among the settings. */
const hostsOf = (settings: Readonly<Record<string, Schema.Json>>): ReadonlyArray<string> => [
  ...new Set(
    Object.values(settings).flatMap((value) => {
      const url = typeof value === "string" && /^https?:\/\//i.test(value) ? URL.parse(value) : null
      return url === null ? [] : [url.host]
    })
  )
]

/** Credentials by what they are. */
export interface Entered {
  readonly settings: Readonly<Record<string, Schema.Json>>
  readonly secrets: NonNullable<AuthConfigChanges["secrets"]>
  /** Those of the addresses among the settings, and those that were named. */
  readonly hosts: ReadonlyArray<string>
  readonly apiHosts: ReadonlyArray<string> | undefined
  readonly scopes: ReadonlyArray<string> | undefined
}

/** Sorts credentials. What is neither a secret nor known by a published name is a setting of the scheme, which checks its name. */
export const sorted = (credentials: ToolkitCredentials): Entered => {
  const { api_hosts: apiHosts, hosts = [], scopes, ...others } = credentials
  const settings: Record<string, Schema.Json> = {}
  const secrets: Record<string, Redacted.Redacted<string> | null> = {}
  for (const [name, value] of Object.entries(others)) {
    if (ignored.has(name)) continue
    if (!secretNames.has(name)) settings[settingNames[name] ?? name] = value
    else if (value === null) secrets[name] = null
    // A secret that is no text is refused under its name, by the scheme.
    else secrets[name] = Redacted.make(typeof value === "string" ? value : "", { label: name })
  }
  return {
    settings,
    secrets,
    hosts: [...hostsOf(settings), ...textsOf(hosts)],
    apiHosts: apiHosts === undefined ? undefined : textsOf(apiHosts),
    scopes: scopes === undefined ? undefined : textsOf(scopes)
  }
}
