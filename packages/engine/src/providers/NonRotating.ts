/**
 * Providers whose refresh token stays the same. A lost answer costs nothing: the token is sent again.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Google. Sources: Google Identity, "Using OAuth 2.0 for Web Server Applications" and "Using OAuth 2.0 to Access Google APIs" (section
 * "Refresh token expiration").
 *
 * - rotation: the answer to a refresh has no refresh token.
 * - accessTokenTtl: 3600 s in the documented answers.
 * - refreshTokenIdle: six months without use. An app in "Testing" gets seven days in all: override `refreshTokenLife`.
 * - dead: `invalid_grant` by the RFC; `error_subtype: invalid_rapt` (session control) comes with it.
 * - settings: no refresh token without `access_type=offline`, and none on a second consent without `prompt=consent`. The issuer is named
 *   because Google sends `iss` with the code (RFC 9207).
 */
export const google = Provider.make({
  profile: {
    name: "google",
    rotation: "none",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(182)
  },
  settings: {
    issuer: "https://accounts.google.com",
    authorizationEndpoint: "https://accounts.google.com/o/oauth2/v2/auth",
    tokenEndpoint: "https://oauth2.googleapis.com/token",
    revocationEndpoint: "https://oauth2.googleapis.com/revoke",
    clientAuth: "post",
    authorizationParameters: { access_type: "offline", prompt: "consent" }
  }
})

/**
 * Dropbox. Sources: Dropbox, "OAuth Guide" and "Using OAuth 2.0 with offline access".
 *
 * - rotation: the refresh token is used again and again.
 * - accessTokenTtl: about four hours; `expires_in` tells.
 * - refreshTokenIdle, refreshTokenLife: none; it lives until it is revoked.
 * - dead: `invalid_grant`.
 * - settings: client id and secret in the body; no refresh token without `token_access_type=offline`. Revocation is an API call with the
 *   access token, not RFC 7009.
 */
export const dropbox = Provider.make({
  profile: { name: "dropbox", rotation: "none", accessTokenTtl: Duration.hours(4) },
  settings: {
    authorizationEndpoint: "https://www.dropbox.com/oauth2/authorize",
    tokenEndpoint: "https://api.dropboxapi.com/oauth2/token",
    clientAuth: "post",
    authorizationParameters: { token_access_type: "offline" }
  }
})

/**
 * LinkedIn, for partners approved for refresh tokens. Source: Microsoft Learn, "Programmatic refresh tokens" (LinkedIn).
 *
 * - rotation: none; the refresh token keeps the lifetime it got at consent.
 * - accessTokenTtl: 60 days.
 * - refreshTokenLife: 365 days from consent, whatever is done.
 * - margin: a week, to sit out any outage; a choice of ours.
 * - dead: not stated beyond "fall back to the standard flow"; assumed: `invalid_grant`.
 * - settings: client id and secret in the body ("Authorization Code Flow (3-legged OAuth)"). Without PKCE: from a client with a secret, a
 *   `code_verifier` is answered with `invalid_client` ("OAuth 2.0 for Native Clients" keeps it to apps enabled for it by LinkedIn).
 */
export const linkedin = Provider.make({
  profile: {
    name: "linkedin",
    rotation: "none",
    accessTokenTtl: Duration.days(60),
    refreshTokenLife: Duration.days(365),
    margin: Duration.days(7)
  },
  settings: {
    authorizationEndpoint: "https://www.linkedin.com/oauth/v2/authorization",
    tokenEndpoint: "https://www.linkedin.com/oauth/v2/accessToken",
    clientAuth: "post",
    pkce: false
  }
})

/**
 * A GitHub OAuth app, as opposed to a GitHub App. Source: GitHub Docs, "Differences between GitHub Apps and OAuth apps" and "Token expiration
 * and revocation".
 *
 * - rotation: there is no refresh token.
 * - accessTokenTtl: none; the token lives until it is revoked or unused for a year. Only the API's 401 tells.
 * - settings: the form-encoded answer is avoided by the `accept: application/json` that every token request carries.
 */
export const githubOAuthApp = Provider.make({
  profile: { name: "github-oauth-app", rotation: "none" },
  settings: {
    authorizationEndpoint: "https://github.com/login/oauth/authorize",
    tokenEndpoint: "https://github.com/login/oauth/access_token",
    clientAuth: "post"
  }
})
