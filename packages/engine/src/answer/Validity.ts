/**
 * The meaning of the answer to a probe. A probe is a harmless request that shows whether a static credential works.
 *
 * @module
 */
import type { Observation } from "./Verdict.ts"

/** The result of a probe of a static credential. */
export type Validity =
  | { readonly _tag: "Valid" }
  | { readonly _tag: "Rejected"; readonly code: string }
  /** Nothing was learnt: neither that it works nor that it does not. An outage of the provider must not expire a good key. */
  | { readonly _tag: "Unverified"; readonly reason: string }
  /** It cannot be probed until a setting is changed. */
  | { readonly _tag: "Misconfigured"; readonly reason: string }

/**
 * Decides what an observation of a probe means.
 *
 * @param rejectedStatuses statuses besides 401 by which this provider rejects a credential.
 */
export const decideValidity = (seen: Observation, rejectedStatuses: ReadonlyArray<number> = []): Validity => {
  if (seen._tag === "Refused") return { _tag: "Misconfigured", reason: seen.reason }
  if (seen._tag !== "Answer") return { _tag: "Unverified", reason: seen.reason }
  if (seen.status >= 200 && seen.status < 300) return { _tag: "Valid" }
  return seen.status === 401 || rejectedStatuses.includes(seen.status)
    ? { _tag: "Rejected", code: `http_${seen.status}` }
    : { _tag: "Unverified", reason: `http_${seen.status}` }
}
