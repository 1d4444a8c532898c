/**
 * API keys of Anthropic.
 *
 * @module
 */
import * as ApiKeyProvider from "./ApiKeyProvider.ts"

/** Anthropic. */
export const anthropic = ApiKeyProvider.make(
  "anthropic",
  {
    title: "Anthropic",
    checked: "2026-11-22",
    sources: ['Anthropic API reference, "Authentication", "Versioning" and "List Models"'],
    facts: {
      probeHeaders: "the version header is required."
    }
  },
  {
    probeUrl: "https://api.anthropic.com/v1/models",
    keyHeader: "x-api-key",
    probeHeaders: { "anthropic-version": "2023-06-01" }
  }
)
