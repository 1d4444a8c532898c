/**
 * Reads what is usable out of a token endpoint's body.
 *
 * This is deliberately more lenient than RFC 6749 §5.1. A strict parser that throws on an odd `token_type` throws away tokens that were
 * issued: with a rotating provider that kills the connection. So: keep what can be used, and list what was wrong.
 *
 * @module
 */
import { Predicate, Redacted, type Schema } from "effect"
import type { ProviderProfile } from "../account/ProviderProfile.ts"

/** Tokens found in a body, and the ways in which the body broke the rules. */
export interface IssuedTokens {
  readonly accessToken: Redacted.Redacted<string>
  /** Absent means that the old one stays in use (RFC 6749 §6). */
  readonly refreshToken: Redacted.Redacted<string> | undefined
  readonly idToken: Redacted.Redacted<string> | undefined
  /** One of the profile's accepted types, as the provider wrote it; undefined when it said another, which may be anything. */
  readonly tokenType: string | undefined
  /** Whole seconds from the answer on; absent when the provider did not say, or said nonsense; null when the scheme's tokens never expire. */
  readonly expiresIn: number | null | undefined
  /** Absent means unchanged. */
  readonly scope: string | undefined
  /** The other fields that the profile keeps, by their paths. Not secret. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>
  readonly irregularities: ReadonlyArray<string>
}

/** Parses a token endpoint's body: JSON, or the form encoding some providers answer with. Undefined when it is neither. */
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
 * A text without what surrounds it: line breaks, white space, byte order marks, NULs. No token has any of them (RFC 6749 appendix A.12), and
 * one that is kept with a line break is another token to its provider.
 */
export const bare = (text: string): string => {
  // A pattern that ends in `$` takes quadratic time on an answer made for it.
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

/** The longest believable `expires_in`: a century in seconds. Past it, a time is no longer a safe integer of milliseconds. */
const longestLife = 100 * 366 * 86_400

const hasAccessToken = (value: unknown): value is { readonly access_token: string } =>
  Predicate.hasProperty(value, "access_token") &&
  Predicate.isString(value.access_token) &&
  bare(value.access_token) !== ""

/** The least number that can only be milliseconds: in seconds it is the year 5138. */
const leastMillis = 1e11

/** Reads a moment in epoch milliseconds: a date, or seconds or milliseconds since 1970. */
const momentOf = (value: unknown): number | undefined => {
  const number = Predicate.isString(value) && /^\d+(?:\.\d+)?$/.test(value.trim()) ? Number(value) : value
  if (Predicate.isNumber(number)) return number < leastMillis ? number * 1000 : number
  const date = Predicate.isString(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : date
}

/** Finds the tokens in a parsed body that came at `receivedAt`, or undefined when there is no usable access token in it. */
export const issuedTokens = (
  body: Readonly<Record<string, unknown>>,
  profile: Pick<ProviderProfile, "expiresAtField" | "keptFields" | "tokenPath" | "tokenTypes">,
  receivedAt: number
): IssuedTokens | undefined => {
  // All from one object: an access token of one grant with the refresh token of another would lose both.
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
  else if (!isAccepted) irregularities.push("token_type is not one of the accepted")

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
  // A moment that is past says more of the clocks than of the token.
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

/** The attributes of a credential that come from a token answer. `expires_in` is the life last stated, for an answer that states none. */
export const attributesOf = (tokens: IssuedTokens): Record<string, Schema.Json | undefined> => ({
  ...tokens.fields,
  token_type: tokens.tokenType,
  scope: tokens.scope,
  expires_in: tokens.expiresIn ?? undefined
})
