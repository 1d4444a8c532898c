/**
 * Compares the identities of two credentials, as far as the provider states them: the subject of the id token (OpenID Connect Core §2), and
 * the attributes that the profile names, such as a workspace or a company.
 *
 * The signature of an id token is not checked, because it came from the token endpoint over TLS (OpenID Connect Core §3.1.3.7).
 *
 * @module
 */
import { Option, Predicate, Schema } from "effect"
import * as Credential from "../account/Credential.ts"
import type { ProviderProfile } from "@rekindle/core"
import { claimsOf } from "./claims.ts"

const subjectClaims = claimsOf(Schema.Struct({ iss: Schema.String, sub: Schema.String }))

/** The issuer and subject of an id token. Google writes its issuer with and without the scheme. */
const subjectOf = (idToken: string): string | undefined =>
  Option.match(subjectClaims(idToken), {
    onNone: () => undefined,
    onSome: ({ iss, sub }) => `${iss.replace(/^https:\/\/|\/$/g, "")} ${sub}`
  })

/** The identity in a credential, by name. Empty if the provider states none. */
const identityOf = (
  credential: Credential.Credential,
  { identifiedBy = [] }: Pick<ProviderProfile, "identifiedBy">
): ReadonlyMap<string, string> => {
  const subject = subjectOf(Credential.secret(credential, "id_token") ?? "")
  const named = identifiedBy.flatMap((name) => {
    const value = credential.attributes[name]
    return Predicate.isString(value) || Predicate.isNumber(value) ? [[name, String(value)] as const] : []
  })
  return new Map([...(subject === undefined ? [] : [["id_token", subject] as const]), ...named])
}

/** Whether two credentials belong to the same person or workspace. `unknown`: they state nothing in common. */
export const compare = (
  one: Credential.Credential,
  other: Credential.Credential,
  profile: Pick<ProviderProfile, "identifiedBy">
): "same" | "another" | "unknown" => {
  const others = identityOf(other, profile)
  const stated = [...identityOf(one, profile)].filter(([name]) => others.has(name))
  if (stated.length === 0) return "unknown"
  return stated.every(([name, value]) => others.get(name) === value) ? "same" : "another"
}
