/**
 * What an account holds: named secrets, and attributes that may be shown. One shape for every scheme, so the vault, the store and the
 * masking need not know the schemes, and a user's own scheme needs no table of its own.
 *
 * @module
 */
import { Redacted, Schema } from "effect"

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

/** What may be shown of it: attributes as they are, and of each secret only that it is there. */
export const masked = (credential: Credential): Record<string, Schema.Json> => ({
  ...credential.attributes,
  ...Object.fromEntries(Object.keys(credential.secrets).map((name) => [name, "********"]))
})
