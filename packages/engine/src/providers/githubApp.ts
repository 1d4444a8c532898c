/**
 * GitHub App, user tokens, as the engine knows it.
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
      rotation: "with its use, the refresh token and the old access token stop working.",
      accessTokenTtl:
        "`never`, unless stated. An expiring token lives eight hours, and `expires_in` says so; an app that opted out of expiration gets neither it nor a refresh token.",
      refreshTokenIdle: "six months.",
      deadToken:
        "HTTP 200 with `error: bad_refresh_token`. A wrong secret is a 200 too, `incorrect_client_credentials`.",
      margin: "half an hour, to sit out an outage; a choice of ours.",
      settings: "no scopes, an app has permissions."
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
  settings: {
    authorizationEndpoint: "https://github.com/login/oauth/authorize",
    tokenEndpoint: "https://github.com/login/oauth/access_token",
    clientAuth: "post"
  }
})
