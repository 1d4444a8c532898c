/**
 * The profile of Calendly.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Calendly. */
export const calendly = Provider.make({
  about: {
    title: "Calendly",
    checked: "2026-11-22",
    sources: [
      'Calendly Developer, "How to handle single-use refresh tokens", "Creating an OAuth App", "Revoke Access/Refresh Token"'
    ],
    facts: {
      rotation: "a refresh token is revoked when it is used.",
      accessTokenTtl: "two hours.",
      "refreshTokenIdle, refreshTokenLife": "none: the refresh token does not expire before it is used.",
      dead: "`invalid_grant`."
    }
  },
  profile: { name: "calendly", rotation: "single-use", accessTokenTtl: Duration.hours(2) },
  apiHosts: ["api.calendly.com"],
  settings: {
    authorizationEndpoint: "https://auth.calendly.com/oauth/authorize",
    tokenEndpoint: "https://auth.calendly.com/oauth/token",
    revocationEndpoint: "https://auth.calendly.com/oauth/revoke",
    clientAuth: "post"
  }
})
