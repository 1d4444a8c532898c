/**
 * The profile of Microsoft Entra ID.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Microsoft Entra ID.
 *
 * @param tenant a tenant id or domain, or `common`, `organizations`, `consumers`.
 */
export const entra = (tenant = "common"): Provider.Provider =>
  Provider.make({
    about: {
      title: "Microsoft Entra ID",
      checked: "2026-11-22",
      sources: [
        `Microsoft Learn, "Refresh tokens in the Microsoft identity platform", "Microsoft identity platform and OAuth 2.0 authorization code flow" (error codes of the token endpoint), "Microsoft Entra authentication and authorization error codes", "What's new for authentication?" (looping clients)`
      ],
      facts: {
        rotation: "a new refresh token with every use; the old one is not revoked.",
        accessTokenTtl: "60 to 90 minutes at random, stated in `expires_in`; an hour is the least.",
        refreshTokenIdle: "90 days; single-page apps get 24 hours in all: override `refreshTokenLife`.",
        deadToken: "`interaction_required`, `consent_required` and `login_required` mean that a person has to act.",
        transient:
          'AADSTS50196, which comes with `invalid_grant` and means too many requests in too short a time. AADSTS90024 ("A transient error has occurred"), AADSTS90033 (directory unavailable) and AADSTS90055 (throttled): the OAuth code that comes with them is not documented, so they are never a dead token. Other AADSTS numbers are not relied on, as Microsoft asks.',
        settings: "every refresh carries `scope`; without it, it may be refused (AADSTS90009).",
        offlineScope: "no refresh token without `offline_access`."
      }
    },
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
    apiHosts: ["graph.microsoft.com"],
    settings: {
      authorizationEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/authorize`,
      tokenEndpoint: `https://login.microsoftonline.com/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
      clientAuth: "post",
      scopeOnRefresh: true
    },
    offlineScope: "offline_access"
  })
