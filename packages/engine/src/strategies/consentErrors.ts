/**
 * Makes the errors of a consent.
 *
 * @module
 */
import { Effect } from "effect"
import type { AuthConfigError } from "../account/AuthConfig.ts"
import { ConsentError } from "./AuthStrategy.ts"
import type { MetadataUnavailable } from "./ServerMetadata.ts"

/** A consent that failed. `code` is the provider's, if it stated one. */
export const consentError = (
  reason: ConsentError["reason"],
  message: string,
  code: string | null = null
): ConsentError => new ConsentError({ reason, message, code })

/** A faulty auth config makes a consent impossible; unavailable metadata make it impossible for now. */
export const asConsentError = Effect.mapError(({ _tag, message }: AuthConfigError | MetadataUnavailable) =>
  consentError(_tag === "AuthConfigError" ? "misconfigured" : "unavailable", message)
)
