/**
 * The profile of Xero.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Xero. */
export const xero = Provider.make({
  about: {
    title: "Xero",
    checked: "2026-11-22",
    sources: ['Xero Developer, "OAuth 2.0 token types" and the FAQ "What do I do if a token refresh fails?"'],
    facts: {
      "rotation, reuseWindow": "single use; without an answer the same token may be sent again for 30 minutes.",
      accessTokenTtl: "30 minutes.",
      refreshTokenIdle: "60 days.",
      dead: "400 `invalid_grant`.",
      settings: "client id and secret in the Basic header.",
      offlineScope: "no refresh token without `offline_access`."
    }
  },
  profile: {
    name: "xero",
    rotation: "single-use",
    reuseWindow: Duration.minutes(30),
    accessTokenTtl: Duration.minutes(30),
    refreshTokenIdle: Duration.days(60)
  },
  apiHosts: ["api.xero.com"],
  settings: {
    issuer: "https://identity.xero.com",
    authorizationEndpoint: "https://login.xero.com/identity/connect/authorize",
    tokenEndpoint: "https://identity.xero.com/connect/token",
    revocationEndpoint: "https://identity.xero.com/connect/revocation",
    clientAuth: "basic"
  },
  offlineScope: "offline_access"
})
