/**
 * The profile of Box.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Box. */
export const box = Provider.make({
  about: {
    title: "Box",
    checked: "2026-11-22",
    sources: ['Box Developer, "Refresh a Token", "Refresh access token" (API reference), "Revoke a Token"'],
    facts: {
      rotation: "each refresh token is used once.",
      accessTokenTtl: "about an hour.",
      refreshTokenIdle: "60 days.",
      dead: "400 `invalid_grant`. Box sometimes answers an empty 409, which is ambiguous by the general rule."
    }
  },
  profile: {
    name: "box",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(60)
  },
  apiHosts: ["api.box.com", "upload.box.com"],
  settings: {
    authorizationEndpoint: "https://account.box.com/api/oauth2/authorize",
    tokenEndpoint: "https://api.box.com/oauth2/token",
    revocationEndpoint: "https://api.box.com/oauth2/revoke",
    clientAuth: "post"
  }
})
