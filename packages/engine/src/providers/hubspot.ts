/**
 * The profile of HubSpot.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** HubSpot. */
export const hubspot = Provider.make({
  about: {
    title: "HubSpot",
    checked: "2026-11-22",
    sources: [
      'HubSpot, "Manage OAuth access tokens with the 2026-03 API", "Migrate from the OAuth v1 API", changelog "Expiration of OAuth access tokens is changing"',
      'For the dead token, HubSpot community and Nango, "HubSpot OAuth BAD_REFRESH_TOKEN"'
    ],
    facts: {
      rotation: "not documented (the token returned is usually the same); the cautious value is used.",
      accessTokenTtl: "30 minutes.",
      "refreshTokenIdle, refreshTokenLife": "not stated; assumed: none.",
      deadToken: "400 `status: BAD_REFRESH_TOKEN` of the v1 endpoints; the newer ones answer by the RFC.",
      settings: "the 2026-03 endpoints; v1 ends in February 2027."
    }
  },
  profile: {
    name: "hubspot",
    rotation: "single-use",
    accessTokenTtl: Duration.minutes(30),
    deadToken: [{ field: "status", values: ["BAD_REFRESH_TOKEN"] }]
  },
  apiHosts: ["api.hubapi.com"],
  settings: {
    authorizationEndpoint: "https://app.hubspot.com/oauth/authorize",
    tokenEndpoint: "https://api.hubapi.com/oauth/2026-03/token",
    revocationEndpoint: "https://api.hubapi.com/oauth/2026-03/token/revoke",
    clientAuth: "post"
  }
})
