/**
 * The profile of X.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** X. */
export const x = Provider.make({
  about: {
    title: "X",
    checked: "2026-11-22",
    sources: [
      'X Developer Platform, "OAuth 2.0 Authorization Code Flow with PKCE" and "How to connect to endpoints"',
      "For the dead token, reports on the SDKs' trackers"
    ],
    facts: {
      rotation: "not documented (a new refresh token comes with each answer); the cautious value is used.",
      accessTokenTtl: "two hours.",
      refreshTokenIdle: "not documented.",
      deadToken:
        '400 `invalid_request` with "Value passed for the token was invalid." Another `invalid_request` is a fault of configuration.',
      settings: "client id and secret in the Basic header.",
      offlineScope: "no refresh token without `offline.access`."
    }
  },
  profile: {
    name: "x",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(2),
    deadToken: [{ status: 400, field: "error_description", contains: ["Value passed for the token was invalid"] }]
  },
  apiHosts: ["api.x.com", "api.twitter.com"],
  settings: {
    authorizationEndpoint: "https://x.com/i/oauth2/authorize",
    tokenEndpoint: "https://api.x.com/2/oauth2/token",
    revocationEndpoint: "https://api.x.com/2/oauth2/revoke",
    clientAuth: "basic"
  },
  offlineScope: "offline.access"
})
