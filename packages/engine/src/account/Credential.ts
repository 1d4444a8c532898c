/**
 * What an account holds: named secrets, and attributes that may be shown. One shape for every scheme, so the vault, the store and the
 * masking need not know the schemes, and a user's own scheme needs no table of its own.
 *
 * @module
 */
import { Expected } from "@rekindle/core"
import { Redacted, Result, Schema } from "effect"

/** A credential in the clear, secrets redacted. */
export interface Credential {
  readonly secrets: Readonly<Record<string, Redacted.Redacted<string>>>
  readonly attributes: Readonly<Record<string, Schema.Json>>
}

/** What belongs to a credential and is not in the token answer: a DPoP key, what came with the callback. */
export interface Extras {
  readonly secrets?: Readonly<Record<string, string>> | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/** The form that is sealed and stored. It is the only place where secrets become plain text, on their way into the vault. */
export const CredentialJson = Schema.fromJsonString(
  Schema.Struct({
    secrets: Schema.Record(Schema.String, Schema.RedactedFromValue(Schema.String)),
    attributes: Schema.Record(Schema.String, Schema.Json)
  })
)

/** The credential of an account that was created but never connected. */
export const empty: Credential = { secrets: {}, attributes: {} }

/** Builds a credential from plain values, dropping those that are absent. */
export const make = (
  secrets: Readonly<Record<string, string | Redacted.Redacted<string> | undefined>>,
  attributes: Readonly<Record<string, Schema.Json | undefined>> = {}
): Credential => ({
  secrets: Object.fromEntries(
    Object.entries(secrets).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Redacted.isRedacted(value) ? value : Redacted.make(value, { label: name })]]
    )
  ),
  attributes: Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  )
})

/** Reads one secret, or undefined if the credential has none of that name. */
export const secret = (credential: Credential, name: string): string | undefined => {
  const value = credential.secrets[name]
  return value === undefined ? undefined : Redacted.value(value)
}

const mask = "********"

/** What is shorter turns up in other values by chance. */
const tellingLength = 8

/**
 * What may be shown of it: attributes as they are, and of each secret only that it is there. An attribute in which a secret turns up is a
 * provider's or an application's mistake, and is not shown. `names` says what a secret is called by those who look at it, where that is not
 * what it is called here.
 */
export const masked = (
  credential: Credential,
  names: Readonly<Record<string, string>> = {}
): Record<string, Schema.Json> => {
  const secrets = Object.values(credential.secrets)
    .map(Redacted.value)
    .filter((secret) => secret.length >= tellingLength)
  const tells = (value: Schema.Json): boolean => {
    const text = JSON.stringify(value)
    return secrets.some((secret) => text.includes(JSON.stringify(secret).slice(1, -1)))
  }
  return {
    ...Object.fromEntries(
      Object.entries(credential.attributes).map(([name, value]) => [name, tells(value) ? mask : value])
    ),
    ...Object.fromEntries(Object.keys(credential.secrets).map((name) => [names[name] ?? name, mask]))
  }
}

/**
 * How a secret is cleaned and what it may hold.
 *
 * - `header`: it travels in a header as it is, such as a key. White space around it is taken off; control characters, and characters that no
 *   header can carry, are refused (RFC 9110 §5.5).
 * - `parameter`: it travels encoded, such as a client's secret. White space around it is taken off; control characters are refused (RFC 6749
 *   appendix A).
 * - `password`: it was chosen by a person, so a space at its end may be part of it. A line break cannot be, and is taken off; other control
 *   characters are refused (RFC 7617 §2).
 * - `document`: it has lines, such as a private key. White space around it is taken off.
 */
export type SecretForm = "header" | "parameter" | "password" | "document"

/** The secrets that a scheme knows. */
export interface SecretNames {
  readonly forms: Readonly<Record<string, SecretForm>>
  /** Of each of these groups one has to be there. */
  readonly needs?: ReadonlyArray<readonly [string, ...Array<string>]> | undefined
}

const cleaned = (form: SecretForm, value: string): string =>
  form === "password" ? value.replace(/[\r\n]+$/, "") : value.trim()

const fault = (form: SecretForm, value: string): string | undefined => {
  if (value === "" && form !== "password") return "it is empty"
  if (form !== "document" && /\p{Cc}/u.test(value)) return "it has a control character in it, such as a line break"
  if (form === "header" && /[\u{100}-\u{10ffff}]/u.test(value))
    return "it has a character in it that no header can carry"
  return undefined
}

/**
 * Takes secrets in at the door: known names, cleaned values, and nothing missing. No mistake repeats a value. Without `names` (a scheme of
 * a user's own that declares none) they are taken as they are.
 */
export const admit = (
  secrets: Credential["secrets"],
  names: SecretNames | undefined
): Result.Result<Credential["secrets"], ReadonlyArray<Expected.Mistake>> => {
  if (names === undefined) return Result.succeed(secrets)
  const known = Object.keys(names.forms)
  const mistakes: Array<Expected.Mistake> = []
  const admitted = Object.entries(secrets).map(([name, secret]) => {
    const form = names.forms[name]
    if (form === undefined) {
      mistakes.push({ ...Expected.unknownField(name, known), field: `secrets.${name}` })
      return [name, secret] as const
    }
    const value = cleaned(form, Redacted.value(secret))
    const message = fault(form, value)
    if (message !== undefined) mistakes.push({ field: `secrets.${name}`, message })
    return [name, value === Redacted.value(secret) ? secret : Redacted.make(value, { label: name })] as const
  })
  for (const group of names.needs ?? []) {
    if (group.every((name) => secrets[name] === undefined))
      mistakes.push({
        field: `secrets.${group[0]}`,
        message: group.length === 1 ? "it is missing" : `it is missing, and so is ${group.slice(1).join(", ")}`
      })
  }
  return mistakes.length === 0 ? Result.succeed(Object.fromEntries(admitted)) : Result.fail(mistakes)
}
