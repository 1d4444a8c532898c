/**
 * Reads the claims of a JSON Web Token (RFC 7519 §4) that came from its issuer over TLS. The signature is not checked.
 *
 * @module
 */
import { Option, Schema } from "effect"
import { Base64Url } from "effect/encoding"

/** Makes a function that reads these claims of a token. None if it is no token, or a claim has another form. */
export const claimsOf = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): ((token: string) => Option.Option<S["Type"]>) => {
  const decode = Schema.decodeUnknownOption(Schema.fromJsonString(schema))
  return (token) => {
    const payload = Base64Url.decodeString(token.split(".")[1] ?? "")
    return payload._tag === "Success" ? decode(payload.success) : Option.none()
  }
}
