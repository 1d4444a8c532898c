/**
 * The profile of Atlassian (Jira, Confluence).
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Atlassian (Jira, Confluence). */
export const atlassian = Provider.make({
  about: {
    title: "Atlassian (Jira, Confluence)",
    checked: "2026-11-22",
    sources: [
      'Atlassian Developer, "Implementing the Refresh Token Flow" and "OAuth 2.0 (3LO) apps"',
      'Its developer community, "The old access token will be revoked during the refresh token exchange"',
      "For the second form of a dead token, a report on the tracker of raycast/extensions"
    ],
    facts: {
      "rotation, reuseWindow":
        "rotating refresh tokens. The old pair, access token included, is revoked 10 minutes after its use.",
      accessTokenTtl: "an hour.",
      "refreshTokenIdle, refreshTokenLife": "90 days of inactivity, 365 days in all.",
      deadToken: `403 with \`invalid_grant\` ("Unknown or invalid refresh token"), or with "refresh_token is invalid" under \`unauthorized_client\`, a code that otherwise blames the application. A 403 without either is not matched, because it may come from a firewall.`,
      settings: "the documented requests are JSON.",
      offlineScope: "no refresh token without `offline_access`."
    }
  },
  profile: {
    name: "atlassian",
    rotation: "single-use",
    reuseWindow: Duration.minutes(10),
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(90),
    refreshTokenLife: Duration.days(365),
    deadToken: [{ status: 403, field: "error_description", contains: ["refresh_token is invalid"] }]
  },
  apiHosts: ["api.atlassian.com"],
  settings: {
    authorizationEndpoint: "https://auth.atlassian.com/authorize",
    tokenEndpoint: "https://auth.atlassian.com/oauth/token",
    clientAuth: "post",
    tokenBody: "json",
    authorizationParameters: { audience: "api.atlassian.com", prompt: "consent" }
  },
  offlineScope: "offline_access"
})
