/**
 * The profile of GitHub OAuth app.
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
      accessTokenTtl:
        "`never`; the token works until it is revoked or unused for a year. Only a 401 of the API shows that it is dead.",
      settings: "every token request carries `accept: application/json`, because the default answer is form-encoded."
    }
  },
  profile: { name: "github-oauth-app", rotation: "none", accessTokenTtl: "never" },
  apiHosts: ["api.github.com"],
  settings: {
    authorizationEndpoint: "https://github.com/login/oauth/authorize",
    tokenEndpoint: "https://github.com/login/oauth/access_token",
    clientAuth: "post"
  }
})
