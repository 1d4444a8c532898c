/**
 * Signs deliveries as Standard Webhooks does: HMAC-SHA256 over `id.timestamp.body`, in the header `webhook-signature`.
 *
 * Each secret signs twice. Standard Webhooks takes what is in base64 behind `whsec_` as the key. The verifier of the official SDK takes the
 * whole text of the secret as the key. A receiver accepts a delivery if one of the signatures in the header is right, so both kinds verify it
 * unchanged.
 *
 * Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 *
 * @module
 */
import { Redacted } from "effect"
import { createHmac } from "node:crypto"

/** The beginning of every secret. */
export const secretPrefix = "whsec_"

/** A delivery to sign. `timestamp` is that of the attempt, in seconds since 1970. */
export interface Signable {
  readonly id: string
  readonly timestamp: number
  readonly body: string
}

/** The value of `webhook-signature`: two signatures for each secret, newest secret first. */
export const signatureOf = (
  { body, id, timestamp }: Signable,
  secrets: ReadonlyArray<Redacted.Redacted<string>>
): string =>
  secrets
    .flatMap((secret) => {
      const text = Redacted.value(secret)
      return [Buffer.from(text.slice(secretPrefix.length), "base64"), Buffer.from(text, "utf8")]
    })
    .map((key) => `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`)
    .join(" ")
