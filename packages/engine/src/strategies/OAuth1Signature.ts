/**
 * Signatures of OAuth 1 requests (RFC 5849 §3.4). Pure.
 *
 * @module
 */
import { Schema } from "effect"
import { createHmac, sign } from "node:crypto"

/** The signature methods (RFC 5849 §3.4). HMAC-SHA256 is not in the RFC; later providers added it. */
export const SignatureMethod = Schema.Literals(["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT"])
export type SignatureMethod = typeof SignatureMethod.Type

/** Percent-encodes all characters but the unreserved ones of RFC 3986, in upper case (RFC 5849 §3.6). */
export const percentEncode = (value: string): string =>
  encodeURIComponent(value).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

/**
 * The signature base string (RFC 5849 §3.4.1).
 *
 * @param parameters those of the header, without `realm`, and of a form body. The parameters of the url's query are added.
 */
export const signatureBaseString = (
  method: string,
  url: string | URL,
  parameters: Iterable<readonly [name: string, value: string]>
): string => {
  const { origin, pathname, searchParams } = new URL(url)
  const normalized = [...searchParams, ...parameters]
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .toSorted(([name, value], [otherName, otherValue]) => compare(name, otherName) || compare(value, otherValue))
    .map((pair) => pair.join("="))
    .join("&")
  return [method.toUpperCase(), `${origin}${pathname}`, normalized].map(percentEncode).join("&")
}

/** Compares by code unit. For percent-encoded text that is the byte order of RFC 5849 §3.4.1.3.2, which no locale's order is. */
const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0)

/** The secrets that a signature is made with. */
export interface SigningSecrets {
  /** The consumer's secret; for RSA-SHA1 its private key, in PEM. */
  readonly consumerSecret: string
  /** The secret of the request token or access token; empty before there is one. */
  readonly tokenSecret: string
}

/** The signature (RFC 5849 §3.4.2 to §3.4.4). Throws if the private key cannot be read. */
export const signature = (method: SignatureMethod, baseString: string, secrets: SigningSecrets): string => {
  const key = `${percentEncode(secrets.consumerSecret)}&${percentEncode(secrets.tokenSecret)}`
  switch (method) {
    case "PLAINTEXT":
      return key
    case "HMAC-SHA1":
      return createHmac("sha1", key).update(baseString).digest("base64")
    case "HMAC-SHA256":
      return createHmac("sha256", key).update(baseString).digest("base64")
    case "RSA-SHA1":
      return sign("sha1", Buffer.from(baseString), secrets.consumerSecret).toString("base64")
  }
}
