/**
 * Providers whose refresh token dies with its use, and those that do not say otherwise. Here a lost answer may cost a consent, so what is
 * not documented is taken for this.
 *
 * @module
 */
import { Duration, Schema } from "effect"
import * as Provider from "./Provider.ts"

/**
 * A GitHub App's user tokens. Sources: GitHub Docs, "Refreshing user access tokens" and "Troubleshooting OAuth app access token request
 * errors".
 *
 * - rotation: with its use, the refresh token and the old access token stop working.
 * - accessTokenTtl: none. An expiring token lives eight hours, and `expires_in` says so; an app that opted out of expiration gets neither it
 *   nor a refresh token.
 * - refreshTokenIdle: six months.
 * - deadToken: HTTP 200 with `error: bad_refresh_token`. A wrong secret is a 200 too, `incorrect_client_credentials`.
 * - margin: half an hour, to sit out an outage; a choice of ours.
 * - settings: no scopes, an app has permissions.
 */
export const githubApp = Provider.make({
  profile: {
    name: "github-app",
    rotation: "single-use",
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

const slackProfile = {
  rotation: "single-use",
  deadToken: [
    {
      field: "error",
      values: ["invalid_refresh_token", "token_revoked", "token_expired", "account_inactive", "authorization_not_found"]
    }
  ],
  tokenTypes: ["bot", "user", "bearer"],
  keptFields: ["team.id"],
  margin: Duration.hours(2)
} as const

const slackSettings = {
  authorizationEndpoint: "https://slack.com/oauth/v2/authorize",
  tokenEndpoint: "https://slack.com/api/oauth.v2.access",
  clientAuth: "basic",
  pkce: false,
  scopeSeparator: ","
} as const

/**
 * Slack, bot tokens. Sources: Slack Developer Docs, "Using token rotation", "Using PKCE", `oauth.v2.access` and `oauth.v2.exchange` (errors),
 * `tooling.tokens.rotate` (errors); the margin is that of Slack's Python SDK.
 *
 * - rotation: the refresh token is revoked with its use. A window is not documented; conservative.
 * - accessTokenTtl: none. With token rotation a token lives 12 hours, and `expires_in` says so; without it, there is neither an expiry nor a
 *   refresh token.
 * - refreshTokenIdle: none; 30 days for an app with PKCE, which marks it as a public client for good: override it and `pkce` there.
 * - deadToken: HTTP 200 with `ok: false` and one of these errors. `fatal_error` and `internal_error` are none: "some aspect of the
 *   operation" may have succeeded.
 * - tokenTypes: `bot` and `user` in place of `bearer`.
 * - keptFields: the workspace that the tokens are for.
 * - margin: two hours (`minutes_before_expiration`).
 * - settings: client id and secret in the Basic header, as Slack "strongly" recommends. Without PKCE, which is refused (`pkce_not_allowed`)
 *   unless the app has it enabled. Scopes are joined by commas. Revocation is an API call with the access token, not RFC 7009.
 */
export const slack = Provider.make({ profile: { name: "slack", ...slackProfile }, settings: slackSettings })

/**
 * Slack, user tokens. As {@link slack}, but the answer to a consent has the user's tokens under `authed_user` ("Installing with OAuth"; a
 * refresh answers with them at the top), and their scopes are asked for in `user_scope`.
 */
export const slackUser = Provider.make({
  profile: { name: "slack-user", ...slackProfile, tokenPath: "authed_user" },
  settings: slackSettings,
  scopeParameter: "user_scope"
})

const DomainLabels = Schema.String.check(Schema.isPattern(/^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})?$/))

/**
 * Salesforce. Sources: Salesforce Help, "OAuth 2.0 Refresh Token Flow for Renewed Sessions", "Manage OAuth Access Policies for a Connected
 * App", "Modify Session Security Settings"; the release notes of Summer '24 ("Simultaneous Token Requests Are Blocked During the Refresh
 * Token Flow") and Winter '25 (its error).
 *
 * - rotation: off, or on with the previous token "automatically invalidated"; the app's owner chooses. Conservative: on. Where it is off,
 *   override `rotation: "none"`.
 * - accessTokenTtl: the org's session timeout, two hours by default; the answer has no `expires_in`. Override it where the org's is
 *   shorter.
 * - refreshTokenIdle, refreshTokenLife: policies of the app and the org; none by default.
 * - dead: 400 `invalid_grant`, "expired access/refresh token".
 * - transient: 400 `invalid_grant`, "token request is already being processed", which is what a second request with a refresh token meets
 *   while the first is at work.
 * - keptFields: the address of the org's API.
 * - offlineScope: no refresh token without `refresh_token` ("OAuth Tokens and Scopes").
 *
 * @param domain `login`, or `test` for sandboxes, or the org's My Domain label, with `.sandbox` or the like if it has one. Throws if it is
 *   not made of domain labels.
 */
export const salesforce = (domain = "login"): Provider.Provider => {
  const labels = DomainLabels.make(domain)
  const host = labels === "login" || labels === "test" ? `${labels}.salesforce.com` : `${labels}.my.salesforce.com`
  return Provider.make({
    profile: {
      name: "salesforce",
      rotation: "single-use",
      accessTokenTtl: Duration.hours(2),
      transient: [{ field: "error_description", contains: ["token request is already being processed"] }],
      keptFields: ["instance_url"]
    },
    settings: {
      authorizationEndpoint: `https://${host}/services/oauth2/authorize`,
      tokenEndpoint: `https://${host}/services/oauth2/token`,
      revocationEndpoint: `https://${host}/services/oauth2/revoke`,
      clientAuth: "post"
    },
    offlineScope: "refresh_token"
  })
}

/**
 * HubSpot. Sources: HubSpot, "Manage OAuth access tokens with the 2026-03 API", "Migrate from the OAuth v1 API", changelog "Expiration of
 * OAuth access tokens is changing"; for the dead token, HubSpot community and Nango, "HubSpot OAuth BAD_REFRESH_TOKEN".
 *
 * - rotation: not documented (the token returned is usually the same); conservative.
 * - accessTokenTtl: 30 minutes.
 * - refreshTokenIdle, refreshTokenLife: not stated; assumed: none.
 * - deadToken: 400 `status: BAD_REFRESH_TOKEN` of the v1 endpoints; the newer ones answer by the RFC.
 * - settings: the 2026-03 endpoints; v1 ends in February 2027.
 */
export const hubspot = Provider.make({
  profile: {
    name: "hubspot",
    rotation: "single-use",
    accessTokenTtl: Duration.minutes(30),
    deadToken: [{ field: "status", values: ["BAD_REFRESH_TOKEN"] }]
  },
  settings: {
    authorizationEndpoint: "https://app.hubspot.com/oauth/authorize",
    tokenEndpoint: "https://api.hubapi.com/oauth/2026-03/token",
    revocationEndpoint: "https://api.hubapi.com/oauth/2026-03/token/revoke",
    clientAuth: "post"
  }
})

/**
 * Notion. Sources: Notion, "Refresh a token", "Create a token", "Authorization".
 *
 * - rotation: a new refresh token with every use; whether the old one lives on is not documented; conservative.
 * - accessTokenTtl: not stated by the provider, and the answer has no `expires_in`; assumed: a day. Much less would spend a single-use token,
 *   each time at some risk, for access tokens that are reported to live long; with none, a lost answer would never come to light.
 * - refreshTokenIdle, refreshTokenLife: not stated; assumed: none.
 * - dead: `invalid_grant`.
 * - keptFields: the workspace that the tokens are for.
 * - settings: client id and secret in the Basic header, a JSON body, `owner=user`, and Notion's version header.
 */
export const notion = Provider.make({
  profile: {
    name: "notion",
    rotation: "single-use",
    accessTokenTtl: Duration.days(1),
    keptFields: ["workspace_id"]
  },
  settings: {
    authorizationEndpoint: "https://api.notion.com/v1/oauth/authorize",
    tokenEndpoint: "https://api.notion.com/v1/oauth/token",
    revocationEndpoint: "https://api.notion.com/v1/oauth/revoke",
    clientAuth: "basic",
    tokenBody: "json",
    tokenHeaders: { "notion-version": "2022-06-28" },
    authorizationParameters: { owner: "user" }
  }
})

/**
 * QuickBooks Online. Sources: Intuit Developer, "Authorization FAQ", "Important changes to refresh token policy" (November 2025).
 *
 * - rotation: the value changes about once a day, and only the latest is to be used; how long the old one lives on is not documented;
 *   conservative.
 * - accessTokenTtl: an hour.
 * - refreshTokenIdle, refreshTokenLife: 100 days, five years.
 * - dead: 400 `invalid_grant`.
 * - settings: client id and secret in the Basic header. Every API address holds the id of the company that the person chose, and only the
 *   callback tells it: `realmId`. Revocation takes a JSON body and is left out.
 */
export const quickbooks = Provider.make({
  profile: {
    name: "quickbooks",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(100),
    refreshTokenLife: Duration.days(5 * 365)
  },
  settings: {
    authorizationEndpoint: "https://appcenter.intuit.com/connect/oauth2",
    tokenEndpoint: "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    clientAuth: "basic",
    keptParameters: ["realmId"]
  }
})

/**
 * Zoom. Sources: Zoom Developers, "OAuth 2.0" and its error table, as kept in Zoom's "Token Lifecycle"; for the dead token, Zoom's developer
 * forum.
 *
 * - rotation: each refresh gives a new refresh token, the old one is invalid at once.
 * - accessTokenTtl: an hour.
 * - refreshTokenIdle: about 90 days, "commonly".
 * - deadToken: `reason: "Invalid Token!"`, which comes with `invalid_grant` or `invalid_request`. The error for concurrent requests has no
 *   documented code; conservative: not a dead token.
 * - settings: client id and secret in the Basic header.
 */
export const zoom = Provider.make({
  profile: {
    name: "zoom",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(90),
    deadToken: [{ field: "reason", values: ["Invalid Token!"] }]
  },
  settings: {
    authorizationEndpoint: "https://zoom.us/oauth/authorize",
    tokenEndpoint: "https://zoom.us/oauth/token",
    revocationEndpoint: "https://zoom.us/oauth/revoke",
    clientAuth: "basic"
  }
})

/**
 * Box. Sources: Box Developer, "Refresh a Token", "Refresh access token" (API reference), "Revoke a Token".
 *
 * - rotation: each refresh token is used once.
 * - accessTokenTtl: about an hour.
 * - refreshTokenIdle: 60 days.
 * - dead: 400 `invalid_grant`. The empty 409 it sometimes answers is ambiguous by the general rule.
 */
export const box = Provider.make({
  profile: {
    name: "box",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(60)
  },
  settings: {
    authorizationEndpoint: "https://account.box.com/api/oauth2/authorize",
    tokenEndpoint: "https://api.box.com/oauth2/token",
    revocationEndpoint: "https://api.box.com/oauth2/revoke",
    clientAuth: "post"
  }
})

/**
 * X. Source: X Developer Platform, "OAuth 2.0 Authorization Code Flow with PKCE" and "How to connect to endpoints"; for the dead token,
 * reports on the SDKs' trackers.
 *
 * - rotation: not documented (a new refresh token comes with each answer); conservative.
 * - accessTokenTtl: two hours.
 * - refreshTokenIdle: not documented.
 * - deadToken: 400 `invalid_request` with "Value passed for the token was invalid." Another `invalid_request` is a matter of configuration.
 * - settings: client id and secret in the Basic header.
 * - offlineScope: no refresh token without `offline.access`.
 */
export const x = Provider.make({
  profile: {
    name: "x",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(2),
    deadToken: [{ status: 400, field: "error_description", contains: ["Value passed for the token was invalid"] }]
  },
  settings: {
    authorizationEndpoint: "https://x.com/i/oauth2/authorize",
    tokenEndpoint: "https://api.x.com/2/oauth2/token",
    revocationEndpoint: "https://api.x.com/2/oauth2/revoke",
    clientAuth: "basic"
  },
  offlineScope: "offline.access"
})

/**
 * Discord. Source: Discord Developer Documentation, "OAuth2" (authorization code grant, refresh and revocation examples).
 *
 * - rotation: single use.
 * - accessTokenTtl: seven days, 604800 s in the documented answers.
 * - dead: `invalid_grant`.
 * - margin: half a day, to sit out an outage; a choice of ours.
 */
export const discord = Provider.make({
  profile: {
    name: "discord",
    rotation: "single-use",
    accessTokenTtl: Duration.days(7),
    margin: Duration.hours(12)
  },
  settings: {
    authorizationEndpoint: "https://discord.com/oauth2/authorize",
    tokenEndpoint: "https://discord.com/api/oauth2/token",
    revocationEndpoint: "https://discord.com/api/oauth2/token/revoke",
    clientAuth: "basic"
  }
})

/**
 * Spotify. Sources: Spotify for Developers, "Refreshing tokens" and "Introducing refresh token expiration" (June 2026).
 *
 * - rotation: a new refresh token may come, and what becomes of the old one is not documented; conservative.
 * - accessTokenTtl: an hour.
 * - refreshTokenLife: six months from consent; refreshing does not extend it.
 * - dead: `invalid_grant`.
 * - settings: client id and secret in the Basic header.
 */
export const spotify = Provider.make({
  profile: {
    name: "spotify",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenLife: Duration.days(182)
  },
  settings: {
    authorizationEndpoint: "https://accounts.spotify.com/authorize",
    tokenEndpoint: "https://accounts.spotify.com/api/token",
    clientAuth: "basic"
  }
})

/**
 * Zendesk. Sources: Zendesk Developer, "Working with OAuth refresh tokens", "OAuth Tokens for Grant Types", and the announcement of April
 * 2025.
 *
 * - rotation: a refresh deletes the previous access and refresh tokens.
 * - accessTokenTtl, refreshTokenIdle: what the client asks for in `expires_in` (5 minutes to 2 days; without it the token does not expire)
 *   and `refresh_token_expires_in` (7 to 90 days): here two hours and 30 days.
 * - dead: not stated; assumed: `invalid_grant`.
 * - settings: a form, as Nango sends it. The reference shows JSON, where the two lifetimes would have to be numbers.
 *
 * @param subdomain the first label of `<subdomain>.zendesk.com`. Throws if it is not a domain label.
 */
export const zendesk = (subdomain: string): Provider.Provider => {
  const host = `${Provider.DomainLabel.make(subdomain)}.zendesk.com`
  const accessTokenTtl = Duration.hours(2)
  const refreshTokenIdle = Duration.days(30)
  return Provider.make({
    profile: { name: "zendesk", rotation: "single-use", accessTokenTtl, refreshTokenIdle },
    settings: {
      authorizationEndpoint: `https://${host}/oauth/authorizations/new`,
      tokenEndpoint: `https://${host}/oauth/tokens`,
      clientAuth: "post",
      tokenParameters: {
        expires_in: String(Duration.toSeconds(accessTokenTtl)),
        refresh_token_expires_in: String(Duration.toSeconds(refreshTokenIdle))
      }
    }
  })
}

/**
 * Exact Online. Sources: Exact Online, "OAuth in Exact Online: refresh tokens"; Invantive, "Exact Online error message: Old refresh token
 * used"; the trackers of picqer/exact-php-client (#300, #644) and websmurf/laravel-exact-online (#22) for the answers.
 *
 * - rotation: single use; some apps may still use an old one, conservative.
 * - accessTokenTtl: ten minutes. `expires_in` comes as a string.
 * - refreshTokenIdle: 30 days, the least of "30 to 180".
 * - deadToken: 401 `unauthorized_client` with "Old refresh token used.", which by its code would blame the application; 400
 *   `invalid_request` with "The refresh token expired at …".
 * - transient: a request before the access token is about to expire is refused with "access_token not expired".
 * - margin, minimumAge: a new token only from 9 min 30 s after the last one.
 * - settings: the Dutch site; replace the endpoints for another country's.
 */
export const exactOnline = Provider.make({
  profile: {
    name: "exact-online",
    rotation: "single-use",
    accessTokenTtl: Duration.minutes(10),
    refreshTokenIdle: Duration.days(30),
    deadToken: [{ field: "error_description", contains: ["Old refresh token used", "refresh token expired"] }],
    transient: [
      { field: "error", contains: ["access_token not expired"] },
      { field: "error_description", contains: ["access_token not expired"] }
    ],
    margin: Duration.seconds(30),
    minimumAge: Duration.seconds(570)
  },
  settings: {
    authorizationEndpoint: "https://start.exactonline.nl/api/oauth2/auth",
    tokenEndpoint: "https://start.exactonline.nl/api/oauth2/token",
    clientAuth: "basic"
  }
})

/**
 * Calendly. Sources: Calendly Developer, "How to handle single-use refresh tokens", "Creating an OAuth App", "Revoke Access/Refresh Token".
 *
 * - rotation: the refresh token is revoked at once with its use.
 * - accessTokenTtl: two hours.
 * - refreshTokenIdle, refreshTokenLife: none; it does not expire until it is used.
 * - dead: `invalid_grant`.
 */
export const calendly = Provider.make({
  profile: { name: "calendly", rotation: "single-use", accessTokenTtl: Duration.hours(2) },
  settings: {
    authorizationEndpoint: "https://auth.calendly.com/oauth/authorize",
    tokenEndpoint: "https://auth.calendly.com/oauth/token",
    revocationEndpoint: "https://auth.calendly.com/oauth/revoke",
    clientAuth: "post"
  }
})
