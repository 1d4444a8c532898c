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
 * 2.0 authorization code flow" (error codes of the token endpoint), "Microsoft Entra authentication and authorization error codes".
 *
 * - rotation: a new refresh token with every use; the old one is not revoked.
 * - accessTokenTtl: 60 to 90 minutes at random, stated in `expires_in`; an hour is the least.
 * - refreshTokenIdle: 90 days; single-page apps get 24 hours in all: override `refreshTokenLife`.
 * - deadToken: `interaction_required`, `consent_required` and `login_required` say that only a person can go on.
 * - transient: AADSTS90024 ("A transient error has occurred") and AADSTS90033 (directory unavailable). Which OAuth code they come with is
 *   not documented; conservative: never a dead token. Other AADSTS numbers are not relied on, as Microsoft asks.
 *
 * Ask for the scope `offline_access`, or there is no refresh token.
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
      transient: [{ field: "error_description", contains: ["AADSTS90024", "AADSTS90033"] }]
    },
    settings: {
      authorizationEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/authorize`,
      tokenEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
      clientAuth: "post"
    }
  })

/**
 * Atlassian (Jira, Confluence). Source: Atlassian Developer, "Implementing the Refresh Token Flow" and "OAuth 2.0 (3LO) apps".
 *
 * - rotation, reuseWindow: rotating refresh tokens, with a leeway of 10 minutes.
 * - accessTokenTtl: an hour.
 * - refreshTokenIdle, refreshTokenLife: 90 days of inactivity, 365 days in all.
 * - dead: 403 with `invalid_grant` ("Unknown or invalid refresh token"); no 403 without it, which may be a firewall's.
 * - settings: the documented requests are JSON; `offline_access` among the scopes gives the refresh token.
 */
export const atlassian = Provider.make({
  profile: {
    name: "atlassian",
    rotation: "single-use",
    reuseWindow: Duration.minutes(10),
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(90),
    refreshTokenLife: Duration.days(365)
  },
  settings: {
    authorizationEndpoint: "https://auth.atlassian.com/authorize",
    tokenEndpoint: "https://auth.atlassian.com/oauth/token",
    clientAuth: "post",
    tokenBody: "json",
    authorizationParameters: { audience: "api.atlassian.com", prompt: "consent" }
  }
})

/**
 * Xero. Sources: Xero Developer, "OAuth 2.0 token types" and the FAQ "What do I do if a token refresh fails?".
 *
 * - rotation, reuseWindow: single use; without an answer the same token may be sent again for 30 minutes.
 * - accessTokenTtl: 30 minutes.
 * - refreshTokenIdle: 60 days.
 * - dead: 400 `invalid_grant`.
 * - settings: client id and secret in the Basic header.
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
  }
})

/**
 * Shopify, with expiring offline tokens. Sources: Shopify, "About offline access tokens" and the changelog "More resilient refreshes for
 * expiring offline access tokens" (28 August 2026).
 *
 * - rotation, reuseWindow: the old refresh token is honoured until its successor is used, at most 30 days after its first use.
 * - accessTokenTtl: an hour.
 * - refreshTokenIdle: 90 days.
 * - dead: not documented beyond the RFC; `invalid_grant`.
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
 * RingCentral. Sources: RingCentral Developers, "Using refresh tokens to generate new access tokens", and for the window the "RingCentral
 * Token Refresh experiment" by its SDK's author.
 *
 * - rotation: each refresh token is used once.
 * - reuseWindow: 60 minutes, during which the same answer comes again; it shrinks to 10 seconds once the new access token is used, and a
 *   token whose answer was lost is not.
 * - accessTokenTtl: an hour. The previous access token is invalid at once.
 * - refreshTokenIdle: seven days.
 * - settings: client id and secret in the Basic header.
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
