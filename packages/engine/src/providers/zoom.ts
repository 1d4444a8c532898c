/**
 * The profile of Zoom.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Zoom. */
export const zoom = Provider.make({
  about: {
    title: "Zoom",
    checked: "2026-11-22",
    sources: [
      `Zoom Developers, "OAuth 2.0" and its error table, as kept in Zoom's "Token Lifecycle"`,
      "For the dead token, Zoom's developer forum"
    ],
    facts: {
      rotation: "each refresh gives a new refresh token, and the old one is invalid at once.",
      accessTokenTtl: "an hour.",
      refreshTokenIdle: 'about 90 days, "commonly".',
      deadToken:
        '`reason: "Invalid Token!"`, which comes with `invalid_grant` or `invalid_request`. The error for concurrent requests has no documented code, so it is not matched as a dead token.',
      settings: "client id and secret in the Basic header."
    }
  },
  profile: {
    name: "zoom",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(90),
    deadToken: [{ field: "reason", values: ["Invalid Token!"] }]
  },
  apiHosts: ["api.zoom.us"],
  settings: {
    authorizationEndpoint: "https://zoom.us/oauth/authorize",
    tokenEndpoint: "https://zoom.us/oauth/token",
    revocationEndpoint: "https://zoom.us/oauth/revoke",
    clientAuth: "basic"
  }
})
