/**
 * Reads the tokens in a token endpoint's body.
 *
 * **Gotchas**
 *
 * This is more lenient than RFC 6749 §5.1. A strict parser that fails on an unknown `token_type` loses tokens that were issued, and with a
 * rotating provider that ends the connection. Therefore every usable token is kept, and irregularities are listed.
 *
 * @module
 */
import { Predicate, Redacted, type Schema } from "effect"
import type { ProviderProfile } from "@rekindle/core"

/** The tokens in a body, and the rules that the body broke. */
export interface IssuedTokens {
  readonly accessToken: Redacted.Redacted<string>
  /** Undefined: the old refresh token stays in use (RFC 6749 §6). */
  readonly refreshToken: Redacted.Redacted<string> | undefined
  readonly idToken: Redacted.Redacted<string> | undefined
  /** The token type as the provider wrote it, if the profile accepts it. Undefined for any other, because it may be any text. */
  readonly tokenType: string | undefined
  /** Whole seconds from the answer on. Undefined if the provider stated none, or nonsense. Null if the scheme's tokens never expire. */
  readonly expiresIn: number | null | undefined
  /** Undefined: the scope is unchanged. */
  readonly scope: string | undefined
  /** Further secrets that came with the tokens, by the names that the credential keeps them under. */
  readonly secrets?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** The further fields that the profile keeps, by their paths. Not secret. */
  readonly fields?: Readonly<Record<string, string | number | boolean>> | undefined
  /** The rules that the body broke, for people. */
  readonly irregularities: ReadonlyArray<string>
}

/** Parses a token endpoint's body: JSON, or the form encoding that some providers use. Undefined if it is neither. */
export const parseBody = (
  answer: string,
  contentType: string | undefined
): Readonly<Record<string, unknown>> | undefined => {
  const body = bare(answer)
  const json = parseJson(body)
  if (Predicate.isObject(json) && !Array.isArray(json)) return json as Readonly<Record<string, unknown>>
  if (
    json === undefined &&
    (contentType?.includes("x-www-form-urlencoded") === true || /^[\w.~-]+=[^<>\s]*$/.test(body))
  ) {
    return Object.fromEntries(new URLSearchParams(body))
  }
  return undefined
}

/**
 * A text without the line breaks, white space, byte order marks and NULs around it. No token contains them (RFC 6749 appendix A.12), and a
 * provider does not recognize a token with a line break at its end.
 */
export const bare = (text: string): string => {
  // A regular expression for the end of the text would take quadratic time on a malicious answer.
  let start = 0
  let end = text.length
  while (start < end && surrounds.test(text.charAt(start))) start++
  while (end > start && surrounds.test(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

const surrounds = /[\s\0]/

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Follows a dotted path into a parsed body. */
export const at = (body: unknown, path: string): unknown => {
  let value = body
  for (const key of path.split(".")) {
    if (!Predicate.hasProperty(value, key)) return undefined
    value = value[key]
  }
  return value
}

/** The longest accepted `expires_in`: a century, in seconds. Far longer ones would exceed the safe integers of milliseconds. */
const longestLife = 100 * 366 * 86_400

const hasAccessToken = (value: unknown): value is { readonly access_token: string } =>
  Predicate.hasProperty(value, "access_token") &&
  Predicate.isString(value.access_token) &&
  bare(value.access_token) !== ""

/** Numbers from here on are milliseconds: in seconds this would be the year 5138. */
const leastMillis = 1e11

/** Reads a time as epoch milliseconds, from a date or from seconds or milliseconds since 1970. */
const momentOf = (value: unknown): number | undefined => {
  const number = Predicate.isString(value) && /^\d+(?:\.\d+)?$/.test(value.trim()) ? Number(value) : value
  if (Predicate.isNumber(number)) return number < leastMillis ? number * 1000 : number
  const date = Predicate.isString(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : date
}

/**
 * The tokens in a parsed body. Undefined if it has no usable access token.
 *
 * @param receivedAt when the answer was complete, in epoch milliseconds.
 */
export const issuedTokens = (
  body: Readonly<Record<string, unknown>>,
  profile: Pick<ProviderProfile, "expiresAtField" | "keptFields" | "tokenPath" | "tokenTypes">,
  receivedAt: number
): IssuedTokens | undefined => {
  // All tokens come from one object. Tokens of two grants must not be mixed.
  const nested = profile.tokenPath === undefined ? undefined : at(body, profile.tokenPath)
  const fields = hasAccessToken(nested) ? nested : body
  if (!hasAccessToken(fields)) return undefined
  const read = (name: string): unknown => at(fields, name)
  const irregularities: Array<string> = []
  const accessToken = unwrapped(fields.access_token, "access_token", irregularities)

  const statedType = read("token_type")
  const tokenType = Predicate.isString(statedType) ? bare(statedType) : undefined
  const isAccepted = tokenType !== undefined && profile.tokenTypes.includes(tokenType.toLowerCase())
  if (tokenType === undefined) irregularities.push("token_type is missing")
  else if (!isAccepted) irregularities.push("token_type is not an accepted one")

  const refreshToken = optionalString(read("refresh_token"), "refresh_token", irregularities)
  const idToken = optionalString(read("id_token"), "id_token", irregularities)

  const rawExpiry = read("expires_in")
  const expiry = Predicate.isString(rawExpiry) && rawExpiry.trim() !== "" ? Number(rawExpiry) : rawExpiry
  const stated = Predicate.isNumber(expiry) && expiry >= 0 && expiry <= longestLife ? Math.floor(expiry) : undefined
  if (rawExpiry !== undefined && !Predicate.isNumber(rawExpiry)) irregularities.push("expires_in is not a number")
  else if (rawExpiry !== undefined && stated === undefined) irregularities.push("expires_in is out of range")
  const { expiresAtField } = profile
  const rawMoment =
    stated !== undefined || expiresAtField === undefined
      ? undefined
      : (at(fields, expiresAtField) ?? at(body, expiresAtField))
  const left = Math.floor(((momentOf(rawMoment) ?? Number.NaN) - receivedAt) / 1000)
  // A time in the past is the fault of a clock rather than of the token.
  const expiresIn = left > 0 && left <= longestLife ? left : stated
  if (rawMoment !== undefined && expiresIn === undefined)
    irregularities.push(`${expiresAtField} is not a time in the future`)

  const rawScope = read("scope")
  const scope = Array.isArray(rawScope) ? rawScope.filter(Predicate.isString).join(" ") : rawScope
  if (rawScope !== undefined && !Predicate.isString(rawScope)) irregularities.push("scope is not a string")

  return {
    accessToken: Redacted.make(accessToken, { label: "access_token" }),
    refreshToken: refreshToken === undefined ? undefined : Redacted.make(refreshToken, { label: "refresh_token" }),
    idToken: idToken === undefined ? undefined : Redacted.make(idToken, { label: "id_token" }),
    tokenType: tokenType === undefined ? "bearer" : isAccepted ? tokenType : undefined,
    expiresIn,
    scope: Predicate.isString(scope) && scope !== "" ? scope : undefined,
    fields: keptFields(body, profile.keptFields),
    irregularities
  }
}

const keptFields = (body: unknown, paths: ReadonlyArray<string> = []) =>
  Object.fromEntries(
    paths.flatMap((path) => {
      const value = at(body, path)
      return Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value) ? [[path, value]] : []
    })
  )

const unwrapped = (value: string, name: string, irregularities: Array<string>): string => {
  const token = bare(value)
  if (token !== value) irregularities.push(`${name} is surrounded by white space`)
  return token
}

const optionalString = (value: unknown, name: string, irregularities: Array<string>): string | undefined => {
  if (value === undefined) return undefined
  if (Predicate.isString(value) && bare(value) !== "") return unwrapped(value, name, irregularities)
  irregularities.push(`${name} is empty or not a string`)
  return undefined
}

/** The attributes of a credential that come from a token answer. `expires_in` is stored for later answers that state none. */
export const attributesOf = (tokens: IssuedTokens): Record<string, Schema.Json | undefined> => ({
  ...tokens.fields,
  token_type: tokens.tokenType,
  scope: tokens.scope,
  expires_in: tokens.expiresIn ?? undefined
})
