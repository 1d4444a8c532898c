/**
 * Calendly, as the engine knows it.
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
      rotation: "the refresh token is revoked at once with its use.",
      accessTokenTtl: "two hours.",
      "refreshTokenIdle, refreshTokenLife": "none; it does not expire until it is used.",
      dead: "`invalid_grant`."
    }
  },
  profile: { name: "calendly", rotation: "single-use", accessTokenTtl: Duration.hours(2) },
  settings: {
    authorizationEndpoint: "https://auth.calendly.com/oauth/authorize",
    tokenEndpoint: "https://auth.calendly.com/oauth/token",
    revocationEndpoint: "https://auth.calendly.com/oauth/revoke",
    clientAuth: "post"
  }
})
