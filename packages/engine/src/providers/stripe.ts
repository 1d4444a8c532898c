/**
 * API keys of Stripe.
 *
 * @module
 */
import * as ApiKeyProvider from "./ApiKeyProvider.ts"

/** Stripe. */
export const stripe = ApiKeyProvider.make(
  "stripe",
  {
    title: "Stripe",
    checked: "2026-11-22",
    sources: ['Stripe API reference, "Authentication" and "Retrieve balance"'],
    facts: {
      rejected: "a restricted key's 403 stays unverified."
    }
  },
  { probeUrl: "https://api.stripe.com/v1/balance", keyPrefix: "Bearer " }
)
