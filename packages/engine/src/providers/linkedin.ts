/**
 * The profile of LinkedIn.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** LinkedIn. */
export const linkedin = Provider.make({
  about: {
    title: "LinkedIn",
    checked: "2026-11-22",
    sources: ['Microsoft Learn, "Programmatic refresh tokens" (LinkedIn)'],
    facts: {
      rotation:
        "none: the refresh token stays the same and keeps the lifetime that it got at consent. Only approved partners get refresh tokens.",
      accessTokenTtl: "60 days.",
      refreshTokenLife: "365 days from consent; a refresh does not extend it.",
      margin: "a week, so that an outage can pass; our choice.",
      dead: 'not stated beyond "fall back to the standard flow"; assumed: `invalid_grant`.',
      settings:
        'client id and secret in the body ("Authorization Code Flow (3-legged OAuth)"). Without PKCE: from a client with a secret, a `code_verifier` is answered with `invalid_client` ("OAuth 2.0 for Native Clients" keeps it to apps enabled for it by LinkedIn).'
    }
  },
  profile: {
    name: "linkedin",
    rotation: "none",
    accessTokenTtl: Duration.days(60),
    refreshTokenLife: Duration.days(365),
    margin: Duration.days(7)
  },
  apiHosts: ["api.linkedin.com"],
  settings: {
    authorizationEndpoint: "https://www.linkedin.com/oauth/v2/authorization",
    tokenEndpoint: "https://www.linkedin.com/oauth/v2/accessToken",
    clientAuth: "post",
    pkce: false
  }
})
