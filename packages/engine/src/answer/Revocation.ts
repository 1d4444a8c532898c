/**
 * Judges the answer of a revocation endpoint (RFC 7009 §2.2): whether the token still works at the provider.
 *
 * @module
 */
import { parseBody } from "./TokenResponse.ts"
import { errorCode, type Observation } from "./Verdict.ts"

/** The result of an attempt to revoke a credential at its provider. */
export type Revocation =
  /** The provider confirmed that the credential no longer works. */
  | { readonly _tag: "Confirmed" }
  /** The provider cannot revoke it. */
  | { readonly _tag: "Unsupported" }
  /** It may still work. `code` is the provider's, or says what prevented the request. */
  | { readonly _tag: "Unconfirmed"; readonly code: string }

/** Errors that mean that there is no such token. RFC 7009 §2.2 answers 200 in that case; Google answers 400. */
const unknownToken = new Set(["invalid_token", "invalid_grant"])

/** Decides what the observation of one revocation request means. */
export const decideRevocation = (seen: Observation): Revocation => {
  if (seen._tag !== "Answer") return { _tag: "Unconfirmed", code: seen.reason }
  const body = parseBody(seen.body, seen.contentType)
  const succeeded = seen.status >= 200 && seen.status < 300
  const code = errorCode(body, succeeded)
  if (succeeded && code === undefined) return { _tag: "Confirmed" }
  if (seen.status === 400 && code !== undefined && unknownToken.has(code)) return { _tag: "Confirmed" }
  // RFC 7009 §2.2.1
  if (seen.status === 400 && code === "unsupported_token_type") return { _tag: "Unsupported" }
  return { _tag: "Unconfirmed", code: code ?? `http_${seen.status}` }
}

/** The result for a credential with several tokens. It is confirmed if no token may still work and at least one was revoked. */
export const together = (revocations: ReadonlyArray<Revocation>): Revocation =>
  revocations.find(({ _tag }) => _tag === "Unconfirmed") ??
  revocations.find(({ _tag }) => _tag === "Confirmed") ?? { _tag: "Unsupported" }
