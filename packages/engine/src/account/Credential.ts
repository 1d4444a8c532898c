/**
 * The credential of an account: named secrets, and attributes that may be shown. All schemes share this shape, so the vault, the store and
 * the masking do not depend on the scheme, and a scheme of your own needs no table of its own.
 *
 * @module
 */
import { Connections, Expected } from "@rekindle/core"
import { Redacted, Result, Schema } from "effect"

/** An opened credential. Its secrets are redacted. */
export interface Credential {
  readonly secrets: Readonly<Record<string, Redacted.Redacted<string>>>
  readonly attributes: Readonly<Record<string, Schema.Json>>
  /**
   * The names of the attributes that the application gave. They are about the account and not about one grant, so they outlive a consent.
   * Default: none.
   */
  readonly given?: ReadonlyArray<string> | undefined
}

/** Parts of a credential that are not in the token answer, such as a DPoP key or parameters of the callback. */
export interface Extras {
  readonly secrets?: Readonly<Record<string, string>> | undefined
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/** The form that is sealed and stored. Secrets become plain text only here, on their way into the vault. */
export const CredentialJson = Schema.fromJsonString(
  Schema.Struct({
    secrets: Schema.Record(Schema.String, Schema.RedactedFromValue(Schema.String)),
    attributes: Schema.Record(Schema.String, Schema.Json),
    given: Schema.optional(Schema.Array(Schema.String))
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

/** The attributes that the application gave, without everything else. */
export const onlyGiven = ({ attributes, given = [] }: Credential): Credential => ({
  secrets: {},
  attributes: Object.fromEntries(Object.entries(attributes).filter(([name]) => given.includes(name))),
  given
})

/** The credential with attributes from the application. Null removes one, whoever gave it. */
export const withAttributes = (
  credential: Credential,
  changes: Readonly<Record<string, Schema.Json>> = {}
): Credential => {
  const attributes = Connections.merged<Schema.Json>(credential.attributes, changes)
  const given = new Set([...(credential.given ?? []), ...Object.keys(changes)])
  return { ...credential, attributes, given: [...given].filter((name) => name in attributes) }
}

/** Reads one secret. Undefined if the credential has none with that name. */
export const secret = (credential: Credential, name: string): string | undefined => {
  const value = credential.secrets[name]
  return value === undefined ? undefined : Redacted.value(value)
}

const mask = "********"

/** The minimum length of a secret, in characters, to search attributes for it. Shorter secrets occur in other values by chance. */
const shortestSearched = 8

/**
 * The form of a credential that may be shown: the attributes, and a mask for each secret. An attribute that contains a secret is masked
 * too; providers and applications sometimes make that mistake. `names` gives the public name of a secret where it differs from the name
 * here.
 */
export const masked = (
  credential: Credential,
  names: Readonly<Record<string, string>> = {}
): Record<string, Schema.Json> => {
  const secrets = Object.values(credential.secrets)
    .map(Redacted.value)
    .filter((secret) => secret.length >= shortestSearched)
  const revealsSecret = (value: Schema.Json): boolean => {
    const text = JSON.stringify(value)
    return secrets.some((secret) => text.includes(JSON.stringify(secret).slice(1, -1)))
  }
  return {
    ...Object.fromEntries(
      Object.entries(credential.attributes).map(([name, value]) => [name, revealsSecret(value) ? mask : value])
    ),
    ...Object.fromEntries(Object.keys(credential.secrets).map((name) => [names[name] ?? name, mask]))
  }
}

/**
 * How a secret is cleaned, and which characters it may have.
 *
 * - `header`: travels in a header without encoding, such as a key. Surrounding white space is removed. Control characters, and characters
 *   that no header can carry, are refused (RFC 9110 §5.5).
 * - `parameter`: travels encoded, such as a client secret. Surrounding white space is removed. Control characters are refused (RFC 6749
 *   appendix A).
 * - `password`: chosen by a person, so a trailing space may be part of it. Trailing line breaks are removed. Other control characters are
 *   refused (RFC 7617 §2).
 * - `document`: has several lines, such as a private key. Surrounding white space is removed.
 */
export type SecretForm = "header" | "parameter" | "password" | "document"

/** The secrets of a scheme. */
export interface SecretNames {
  readonly forms: Readonly<Record<string, SecretForm>>
  /** Groups of names. One secret of each group is required. */
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
 * Validates secrets from outside: every name is known, every value is cleaned, and none is missing. No mistake repeats a value. Without
 * `names` (a custom scheme that declares none) the secrets are taken as they are.
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
