/**
 * Providers whose refresh token changes with use and whose old one is honoured for a while. A lost answer is asked for again within that
 * time.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Microsoft Entra ID. Sources: Microsoft Learn, "Refresh tokens in the Microsoft identity platform", "Microsoft identity platform and OAuth
 * 2.0 authorization code flow" (error codes of the token endpoint), "Microsoft Entra authentication and authorization error codes", "What's
 * new for authentication?" (looping clients).
 *
 * - rotation: a new refresh token with every use; the old one is not revoked.
 * - accessTokenTtl: 60 to 90 minutes at random, stated in `expires_in`; an hour is the least.
 * - refreshTokenIdle: 90 days; single-page apps get 24 hours in all: override `refreshTokenLife`.
 * - deadToken: `interaction_required`, `consent_required` and `login_required` say that only a person can go on.
 * - transient: AADSTS50196, which comes with `invalid_grant` and means too many requests in too short a time. AADSTS90024 ("A transient error
 *   has occurred"), AADSTS90033 (directory unavailable) and AADSTS90055 (throttled): which OAuth code they come with is not documented;
 *   conservative: never a dead token. Other AADSTS numbers are not relied on, as Microsoft asks.
 * - offlineScope: no refresh token without `offline_access`.
 *
 * @param tenant a tenant id or domain, or `common`, `organizations`, `consumers`.
 */
export const entra = (tenant = "common"): Provider.Provider =>
  Provider.make({
    profile: {
      name: "entra",
      rotation: "rolling",
      accessTokenTtl: Duration.hours(1),
      refreshTokenIdle: Duration.days(90),
      deadToken: [{ field: "error", values: ["interaction_required", "consent_required", "login_required"] }],
      transient: [
        { field: "error_description", contains: ["AADSTS50196", "AADSTS90024", "AADSTS90033", "AADSTS90055"] }
      ]
    },
    settings: {
      authorizationEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/authorize`,
      tokenEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
      clientAuth: "post"
    },
    offlineScope: "offline_access"
  })

/**
 * Atlassian (Jira, Confluence). Sources: Atlassian Developer, "Implementing the Refresh Token Flow" and "OAuth 2.0 (3LO) apps"; its developer
 * community, "The old access token will be revoked during the refresh token exchange"; for the second form of a dead token, a report on
 * raycast/extensions' tracker.
 *
 * - rotation, reuseWindow: rotating refresh tokens. The old pair, access token included, is revoked 10 minutes after its use.
 * - accessTokenTtl: an hour.
 * - refreshTokenIdle, refreshTokenLife: 90 days of inactivity, 365 days in all.
 * - deadToken: 403 with `invalid_grant` ("Unknown or invalid refresh token"), or with "refresh_token is invalid" under `unauthorized_client`,
 *   which by its code would blame the application. No 403 without them, which may be a firewall's.
 * - settings: the documented requests are JSON.
 * - offlineScope: no refresh token without `offline_access`.
 */
export const atlassian = Provider.make({
  profile: {
    name: "atlassian",
    rotation: "single-use",
    reuseWindow: Duration.minutes(10),
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(90),
    refreshTokenLife: Duration.days(365),
    deadToken: [{ status: 403, field: "error_description", contains: ["refresh_token is invalid"] }]
  },
  settings: {
    authorizationEndpoint: "https://auth.atlassian.com/authorize",
    tokenEndpoint: "https://auth.atlassian.com/oauth/token",
    clientAuth: "post",
    tokenBody: "json",
    authorizationParameters: { audience: "api.atlassian.com", prompt: "consent" }
  },
  offlineScope: "offline_access"
})

/**
 * Xero. Sources: Xero Developer, "OAuth 2.0 token types" and the FAQ "What do I do if a token refresh fails?".
 *
 * - rotation, reuseWindow: single use; without an answer the same token may be sent again for 30 minutes.
 * - accessTokenTtl: 30 minutes.
 * - refreshTokenIdle: 60 days.
 * - dead: 400 `invalid_grant`.
 * - settings: client id and secret in the Basic header.
 * - offlineScope: no refresh token without `offline_access`.
 */
export const xero = Provider.make({
  profile: {
    name: "xero",
    rotation: "single-use",
    reuseWindow: Duration.minutes(30),
    accessTokenTtl: Duration.minutes(30),
    refreshTokenIdle: Duration.days(60)
  },
  settings: {
    issuer: "https://identity.xero.com",
    authorizationEndpoint: "https://login.xero.com/identity/connect/authorize",
    tokenEndpoint: "https://identity.xero.com/connect/token",
    revocationEndpoint: "https://identity.xero.com/connect/revocation",
    clientAuth: "basic"
  },
  offlineScope: "offline_access"
})

/**
 * Shopify, with expiring offline tokens. Sources: Shopify, "About offline access tokens" and the changelogs "Offline access tokens now
 * support expiry and refresh" (10 December 2025) and "More resilient refreshes for expiring offline access tokens" (28 August 2026).
 *
 * - rotation, reuseWindow: the old refresh token is honoured until its successor is used, at most 30 days after its first use.
 * - accessTokenTtl: an hour. An answer without `expires_in` was reported on shopify-app-js' tracker.
 * - refreshTokenIdle: 90 days.
 * - dead: not stated; assumed: `invalid_grant`.
 * - settings: `expiring=1` with the code gives an expiring token and a refresh token. Scopes are joined by commas.
 *
 * @param shop the first label of `<shop>.myshopify.com`. Throws if it is not a domain label.
 */
export const shopify = (shop: string): Provider.Provider => {
  const host = `${Provider.DomainLabel.make(shop)}.myshopify.com`
  return Provider.make({
    profile: {
      name: "shopify",
      rotation: "single-use",
      reuseWindow: Duration.days(30),
      accessTokenTtl: Duration.hours(1),
      refreshTokenIdle: Duration.days(90)
    },
    settings: {
      authorizationEndpoint: `https://${host}/admin/oauth/authorize`,
      tokenEndpoint: `https://${host}/admin/oauth/access_token`,
      clientAuth: "post",
      tokenParameters: { expiring: "1" },
      scopeSeparator: ","
    }
  })
}

/**
 * Linear. Source: Linear Developers, "OAuth 2.0 authentication"; for the window, Airbyte's notes on its Linear connector, "Rotating Refresh
 * Tokens".
 *
 * - rotation: a new refresh token with each use.
 * - reuseWindow: 30 minutes, the "replay grace period".
 * - accessTokenTtl: 24 hours.
 * - dead: `invalid_grant`.
 * - margin: an hour, to sit out an outage; a choice of ours.
 * - settings: scopes are joined by commas.
 */
export const linear = Provider.make({
  profile: {
    name: "linear",
    rotation: "single-use",
    reuseWindow: Duration.minutes(30),
    accessTokenTtl: Duration.hours(24),
    margin: Duration.hours(1)
  },
  settings: {
    authorizationEndpoint: "https://linear.app/oauth/authorize",
    tokenEndpoint: "https://api.linear.app/oauth/token",
    revocationEndpoint: "https://api.linear.app/oauth/revoke",
    clientAuth: "post",
    scopeSeparator: ","
  }
})

/**
 * RingCentral. Sources: RingCentral Developers, "Using refresh tokens to generate new access tokens", and for the window the "RingCentral
 * Token Refresh experiment" by its SDK's author.
 *
 * - rotation: each refresh token is used once.
 * - reuseWindow: 60 minutes, during which the same answer comes again; it shrinks to 10 seconds once the new access token is used, and a
 *   token whose answer was lost is not.
 * - accessTokenTtl: an hour. The previous access token is invalid at once.
 * - refreshTokenIdle: seven days.
 * - dead: not stated; assumed: `invalid_grant`.
 * - settings: client id and secret in the Basic header. The app itself must have "Issue refresh tokens" switched on.
 */
export const ringcentral = Provider.make({
  profile: {
    name: "ringcentral",
    rotation: "single-use",
    reuseWindow: Duration.minutes(60),
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(7)
  },
  settings: {
    authorizationEndpoint: "https://platform.ringcentral.com/restapi/oauth/authorize",
    tokenEndpoint: "https://platform.ringcentral.com/restapi/oauth/token",
    revocationEndpoint: "https://platform.ringcentral.com/restapi/oauth/revoke",
    clientAuth: "basic"
  }
})
