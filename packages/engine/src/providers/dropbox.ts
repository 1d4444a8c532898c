/**
 * The profile of Dropbox.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Dropbox. */
export const dropbox = Provider.make({
  about: {
    title: "Dropbox",
    checked: "2026-11-22",
    sources: ['Dropbox, "OAuth Guide" and "Using OAuth 2.0 with offline access"'],
    facts: {
      rotation: "the refresh token stays the same.",
      accessTokenTtl: "about four hours, stated in `expires_in`.",
      "refreshTokenIdle, refreshTokenLife": "none: the refresh token works until it is revoked.",
      dead: "`invalid_grant`.",
      settings:
        "client id and secret in the body; no refresh token without `token_access_type=offline`. Revocation is an API call with the access token, not RFC 7009."
    }
  },
  profile: { name: "dropbox", rotation: "none", accessTokenTtl: Duration.hours(4) },
  apiHosts: ["api.dropboxapi.com", "content.dropboxapi.com"],
  settings: {
    authorizationEndpoint: "https://www.dropbox.com/oauth2/authorize",
    tokenEndpoint: "https://api.dropboxapi.com/oauth2/token",
    clientAuth: "post",
    authorizationParameters: { token_access_type: "offline" }
  }
})
