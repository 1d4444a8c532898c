/**
 * The profile of GitHub App, user tokens.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** GitHub App, user tokens. */
export const githubApp = Provider.make({
  about: {
    title: "GitHub App, user tokens",
    checked: "2026-11-22",
    sources: [
      'GitHub Docs, "Refreshing user access tokens" and "Troubleshooting OAuth app access token request errors"'
    ],
    facts: {
      rotation: "the refresh token and the old access token stop working when the refresh token is used.",
      accessTokenTtl:
        "`never`, unless stated. An expiring token lives eight hours, and `expires_in` says so; an app that opted out of expiration gets neither it nor a refresh token.",
      refreshTokenIdle: "six months.",
      deadToken:
        "HTTP 200 with `error: bad_refresh_token`. A wrong client secret is a 200 too, with `incorrect_client_credentials`.",
      margin: "half an hour, so that an outage can pass; our choice.",
      settings: "no scopes: an app has permissions."
    }
  },
  profile: {
    name: "github-app",
    rotation: "single-use",
    accessTokenTtl: "never",
    refreshTokenIdle: Duration.days(182),
    deadToken: [{ field: "error", values: ["bad_refresh_token"] }],
    margin: Duration.minutes(30)
  },
  apiHosts: ["api.github.com"],
  settings: {
    authorizationEndpoint: "https://github.com/login/oauth/authorize",
    tokenEndpoint: "https://github.com/login/oauth/access_token",
    clientAuth: "post"
  }
})
