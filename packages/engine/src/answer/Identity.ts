/**
 * Whose account a credential is, as far as the provider says: the person of the id token (OpenID Connect Core §2), and whatever attributes
 * the profile names, such as a workspace or a company.
 *
 * The id token came from the token endpoint over TLS, which stands in for checking its signature (OpenID Connect Core §3.1.3.7).
 *
 * @module
 */
import { Option, Predicate, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import * as Credential from "../account/Credential.ts"
import type { ProviderProfile } from "../account/ProviderProfile.ts"

const Claims = Schema.fromJsonString(Schema.Struct({ iss: Schema.String, sub: Schema.String }))
const decodeClaims = Schema.decodeOption(Claims)

/** The subject of an id token, which is unique at its issuer. Google writes its issuer with and without the scheme. */
const subjectOf = (idToken: string): string | undefined => {
  const payload = Base64Url.decodeString(idToken.split(".")[1] ?? "")
  const claims = payload._tag === "Success" ? Option.getOrUndefined(decodeClaims(payload.success)) : undefined
  return claims === undefined ? undefined : `${claims.iss.replace(/^https:\/\/|\/$/g, "")} ${claims.sub}`
}

/** What a credential says about whose it is, by name. Empty if the provider does not say. */
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

/** Whether two credentials are of the same person or workspace. `unknown`: there is nothing that both of them state. */
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
