/**
 * GitHub OAuth app, as the engine knows it.
 *
 * @module
 */
import * as Provider from "./Provider.ts"

/** GitHub OAuth app. */
export const githubOAuthApp = Provider.make({
  about: {
    title: "GitHub OAuth app",
    checked: "2026-11-22",
    sources: ['GitHub Docs, "Differences between GitHub Apps and OAuth apps" and "Token expiration and revocation"'],
    facts: {
      rotation: "there is no refresh token.",
      accessTokenTtl: "`never`; the token lives until it is revoked or unused for a year. Only the API's 401 tells.",
      settings: "the form-encoded answer is avoided by the `accept: application/json` that every token request carries."
    }
  },
  profile: { name: "github-oauth-app", rotation: "none", accessTokenTtl: "never" },
  settings: {
    authorizationEndpoint: "https://github.com/login/oauth/authorize",
    tokenEndpoint: "https://github.com/login/oauth/access_token",
    clientAuth: "post"
  }
})
