/**
 * The profile of Google.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Google. */
export const google = Provider.make({
  about: {
    title: "Google",
    checked: "2026-11-22",
    sources: [
      'Google Identity, "Using OAuth 2.0 for Web Server Applications" and "Using OAuth 2.0 to Access Google APIs" (section "Refresh token expiration")'
    ],
    facts: {
      rotation: "the answer to a refresh has no refresh token.",
      accessTokenTtl: "3600 s in the documented answers.",
      refreshTokenIdle:
        'six months without use. An app in "Testing" gets seven days in all: override `refreshTokenLife`.',
      dead: "`invalid_grant` by the RFC; `error_subtype: invalid_rapt` (session control) comes with it.",
      settings:
        "no refresh token without `access_type=offline`, and none on a second consent without `prompt=consent`. The issuer is named because Google sends `iss` with the code (RFC 9207)."
    }
  },
  profile: {
    name: "google",
    rotation: "none",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(182)
  },
  apiHosts: ["*.googleapis.com"],
  settings: {
    issuer: "https://accounts.google.com",
    authorizationEndpoint: "https://accounts.google.com/o/oauth2/v2/auth",
    tokenEndpoint: "https://oauth2.googleapis.com/token",
    revocationEndpoint: "https://oauth2.googleapis.com/revoke",
    clientAuth: "post",
    authorizationParameters: { access_type: "offline", prompt: "consent" }
  }
})
