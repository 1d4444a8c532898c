/**
 * The profile of Linear.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Linear. */
export const linear = Provider.make({
  about: {
    title: "Linear",
    checked: "2026-11-22",
    sources: [
      'Linear Developers, "OAuth 2.0 authentication"',
      `For the window, Airbyte's notes on its Linear connector, "Rotating Refresh Tokens"`
    ],
    facts: {
      rotation: "a new refresh token with each use.",
      reuseWindow: '30 minutes, the "replay grace period".',
      accessTokenTtl: "24 hours.",
      dead: "`invalid_grant`.",
      margin: "an hour, so that an outage can pass; our choice.",
      settings: "scopes are joined by commas."
    }
  },
  profile: {
    name: "linear",
    rotation: "single-use",
    reuseWindow: Duration.minutes(30),
    accessTokenTtl: Duration.hours(24),
    margin: Duration.hours(1)
  },
  apiHosts: ["api.linear.app"],
  settings: {
    authorizationEndpoint: "https://linear.app/oauth/authorize",
    tokenEndpoint: "https://api.linear.app/oauth/token",
    revocationEndpoint: "https://api.linear.app/oauth/revoke",
    clientAuth: "post",
    scopeSeparator: ","
  }
})
