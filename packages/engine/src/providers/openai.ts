/**
 * OpenAI, as the engine knows it.
 *
 * @module
 */
import * as ApiKeyProvider from "./ApiKeyProvider.ts"

/** OpenAI. */
export const openai = ApiKeyProvider.make(
  "openai",
  {
    title: "OpenAI",
    checked: "2026-11-22",
    sources: ['OpenAI API reference, "Authentication" and "List models"'],
    facts: {
      probeUrl:
        "a key of a project with data residency is good at its region's host alone, such as `eu.api.openai.com`, and a 401 elsewhere (`incorrect_hostname`): replace `probeUrl`.",
      rejected: "a restricted key's 403 stays unverified."
    }
  },
  { probeUrl: "https://api.openai.com/v1/models", keyPrefix: "Bearer " }
)
