/**
 * What an importer finds in another project: connections, and rows that are none. Values of other projects are read with the functions here,
 * because each database and each export writes them in another form.
 *
 * @module
 */
import { ConnectedAccountId, type KnownAuthScheme } from "@rekindle/core"
import { DateTime, Option, Predicate, Redacted, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { createHash } from "node:crypto"

/** A row of another project's table. */
export type Row = Readonly<Record<string, unknown>>

/** A connection of another project. */
export interface Connection {
  readonly _tag: "Connection"
  /** Its name in the other project, for the report. */
  readonly name: string
  /** The id of its account here. It is the same each time, so a second run finds what the first one brought. */
  readonly id: ConnectedAccountId
  /** What the other project calls the provider, or its configuration. */
  readonly provider: string
  readonly userId: string
  readonly scheme: KnownAuthScheme
  readonly secrets: Readonly<Record<string, Redacted.Redacted>>
  /** When the access token expires. `undefined` if that is unknown. */
  readonly expiresAt: DateTime.Utc | undefined
  /** When the refresh token expires, if the project says so. */
  readonly renewableUntil?: DateTime.Utc | undefined
  readonly attributes: Readonly<Record<string, Schema.Json>>
  /** The provider's answer with the tokens, if the project keeps it. Auth configs name fields of it that become attributes. */
  readonly answer: unknown
  /** The OAuth client that the tokens belong to, if the project says so. */
  readonly clientId: string | undefined
  /** Why the credential does not come over. */
  readonly lost: string | undefined
}

/** A row without a connection that could be kept here. */
export interface Other {
  readonly _tag: "Other"
  readonly name: string
  readonly reason: string
}

/** What an importer finds. */
export type Found = Connection | Other

/** The id of the account for a connection that these names identify in its project. */
export const idOf = (project: string, ...names: ReadonlyArray<string>): ConnectedAccountId =>
  ConnectedAccountId.make(
    `ca_${createHash("sha256")
      .update(JSON.stringify([project, ...names]))
      .digest("base64url")
      .slice(0, 24)}`
  )

/** The first of these columns that has a value. Adapters write the same column in different cases. */
export const column = (row: Row, ...names: ReadonlyArray<string>): unknown =>
  names.map((name) => row[name]).find((value) => value !== null && value !== undefined)

/** A text, or a number as text. `undefined` if it is neither, or empty. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" || typeof value === "bigint"
    ? String(value) || undefined
    : undefined

/** The secret of a column, labelled with the name that it gets here. */
export const secretOf = (name: string, value: unknown): Readonly<Record<string, Redacted.Redacted>> => {
  const text = textOf(value)
  return text === undefined ? {} : { [name]: Redacted.make(text, { label: name }) }
}

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/** A JSON column: Postgres gives a value, SQLite and some exports its text. */
export const jsonOf = (value: unknown): unknown =>
  typeof value === "string" ? Option.getOrUndefined(decodeJson(value)) : value

/** A JSON object, or an empty one. */
export const objectOf = (value: unknown): Row => {
  const object = jsonOf(value)
  return Predicate.isObject(object) && !Array.isArray(object) ? { ...object } : {}
}

/** Epoch times below this are seconds; milliseconds of the same number are in 1973. */
const smallestMillis = 100_000_000_000

/** A time: a date, a text, or epoch seconds or milliseconds. */
export const timeOf = (value: unknown): DateTime.Utc | undefined => {
  const text = value instanceof Date ? value.getTime() : value
  const number = typeof text === "string" && /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
  const millis =
    typeof number === "number" || typeof number === "bigint"
      ? Number(number) * (Number(number) < smallestMillis ? 1000 : 1)
      : number
  return typeof millis === "number" || typeof millis === "string"
    ? Option.getOrUndefined(Option.filter(DateTime.make(millis), DateTime.isUtc))
    : undefined
}

const decodeClaims = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ aud: Schema.Unknown })))

/** The client that an id token was issued to (OpenID Connect Core §2), if it names one. */
export const clientOf = (idToken: unknown): string | undefined => {
  const claims = Base64Url.decodeString((textOf(idToken) ?? "").split(".")[1] ?? "")
  if (Result.isFailure(claims)) return undefined
  const audience = Option.getOrUndefined(decodeClaims(claims.success))?.aud
  const only = Array.isArray(audience) && audience.length === 1 ? audience[0] : audience
  return typeof only === "string" ? only : undefined
}
