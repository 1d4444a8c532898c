/**
 * API keys of OpenAI.
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
        "a key of a project with data residency works only on its region's host, such as `eu.api.openai.com`. Other hosts answer 401 (`incorrect_hostname`): replace `probeUrl`.",
      rejected: "a restricted key's 403 stays unverified."
    }
  },
  { probeUrl: "https://api.openai.com/v1/models", keyPrefix: "Bearer " }
)
