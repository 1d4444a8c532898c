/**
 * What the answer of a revocation endpoint means (RFC 7009 §2.2): whether the token is dead over there.
 *
 * @module
 */
import { parseBody } from "./TokenResponse.ts"
import { errorCode, type Observation } from "./Verdict.ts"

/** How an attempt to withdraw a credential at its provider ended. */
export type Revocation =
  /** The provider says that it does not work any more. */
  | { readonly _tag: "Confirmed" }
  /** The provider has no way to withdraw it. */
  | { readonly _tag: "Unsupported" }
  /** It may live; `code` is the provider's, or says what kept us from asking. */
  | { readonly _tag: "Unconfirmed"; readonly code: string }

/** Refusals that say that there is no such token, which RFC 7009 §2.2 answers with 200 and Google, for one, with 400. */
const unknownToken = new Set(["invalid_token", "invalid_grant"])

/** Decides what was seen of one revocation request. */
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

/** One credential has several tokens: it is withdrawn when none of them may live, if one of them could be withdrawn. */
export const together = (revocations: ReadonlyArray<Revocation>): Revocation =>
  revocations.find(({ _tag }) => _tag === "Unconfirmed") ??
  revocations.find(({ _tag }) => _tag === "Confirmed") ?? { _tag: "Unsupported" }
