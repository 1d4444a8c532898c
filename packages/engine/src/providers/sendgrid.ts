/**
 * API keys of SendGrid.
 *
 * @module
 */
import * as ApiKeyProvider from "./ApiKeyProvider.ts"

/** SendGrid. */
export const sendgrid = ApiKeyProvider.make(
  "sendgrid",
  {
    title: "SendGrid",
    checked: "2026-11-22",
    sources: [
      'Twilio SendGrid API reference, "Authentication" and "Retrieve a list of scopes for which this user has access"'
    ],
    facts: {
      probeUrl: "keys of EU subusers belong to `api.eu.sendgrid.com`: replace `probeUrl`."
    }
  },
  { probeUrl: "https://api.sendgrid.com/v3/scopes", keyPrefix: "Bearer " }
)
