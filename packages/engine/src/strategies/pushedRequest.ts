/**
 * The answer to a pushed authorization request (RFC 9126).
 *
 * @module
 */
import { Predicate } from "effect"
import type { ProviderProfile } from "@rekindle/core"
import { bare, parseBody } from "../answer/TokenResponse.ts"
import { decide, type Observation } from "../answer/Verdict.ts"
import type { ConsentError } from "./AuthStrategy.ts"
import { consentError } from "./consentErrors.ts"

/** The reference to a pushed request. */
export interface PushedRequest {
  readonly reference: string
  /** For how many seconds it can be used (RFC 9126 §2.2), if the provider says so. */
  readonly expiresIn: number | undefined
}

/** Reads the answer. Undefined if it has no reference. */
export const read = (seen: Observation): PushedRequest | undefined => {
  if (seen._tag !== "Answer" || seen.status < 200 || seen.status >= 300) return undefined
  const body = parseBody(seen.body, seen.contentType)
  const stated = body?.["request_uri"]
  const reference = Predicate.isString(stated) ? bare(stated) : ""
  if (reference === "") return undefined
  const life = Number(body?.["expires_in"])
  return { reference, expiresIn: Number.isFinite(life) && life > 0 ? life : undefined }
}

/** The error for an answer without a reference. */
export const failure = (seen: Observation, profile: ProviderProfile): ConsentError => {
  const verdict = decide(seen, profile)
  switch (verdict._tag) {
    case "Refused":
      return consentError("misconfigured", verdict.reason)
    case "AppFault":
    case "Dead":
    case "Misconfigured":
      return consentError("misconfigured", `the provider refused the pushed request: ${verdict.code}`, verdict.code)
    default: {
      const why = "reason" in verdict ? `: ${verdict.reason}` : ""
      return consentError("unavailable", `the provider did not accept the pushed request${why}`)
    }
  }
}
