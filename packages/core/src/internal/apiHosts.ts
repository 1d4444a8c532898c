/**
 * Which addresses may be called with an account's credential.
 *
 * @module
 */
import type { AuthConfig } from "../AuthConfig.ts"

/** Public facts about an account. */
type Attributes = Readonly<Record<string, unknown>>

const originOf = (text: string): URL | null => URL.parse(text.includes("://") ? text : `https://${text}`)

/** Whether an entry of `apiHosts` covers the address. */
const covers = (entry: string, url: URL, attributes: Attributes): boolean => {
  const [, attribute] = /^\{([^{}]+)\}$/.exec(entry) ?? []
  if (attribute !== undefined) {
    const value = attributes[attribute]
    // An attribute came with a provider's answer or a callback: it opens no way over plain http.
    return url.protocol === "https:" && typeof value === "string" && originOf(value)?.origin === url.origin
  }
  if (entry.startsWith("*."))
    return url.protocol === "https:" && url.port === "" && url.hostname.endsWith(entry.slice(1).toLowerCase())
  return originOf(entry)?.origin === url.origin
}

/** Whether an address is one of the API's that an account is connected to. */
export const isApiAddress = (
  { apiHosts, hosts }: Pick<AuthConfig, "apiHosts" | "hosts">,
  attributes: Attributes,
  address: string
): boolean => {
  const url = URL.parse(address)
  return (
    url !== null &&
    (url.protocol === "https:" || url.protocol === "http:") &&
    url.username === "" &&
    url.password === "" &&
    (apiHosts ?? hosts).some((entry) => covers(entry, url, attributes))
  )
}
