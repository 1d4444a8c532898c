/**
 * The profile of QuickBooks Online.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** QuickBooks Online. */
export const quickbooks = Provider.make({
  about: {
    title: "QuickBooks Online",
    checked: "2026-11-22",
    sources: ['Intuit Developer, "Authorization FAQ", "Important changes to refresh token policy" (November 2025)'],
    facts: {
      rotation:
        "the value changes about once a day, and only the latest may be used. How long the old one still works is not documented; the cautious value is used.",
      accessTokenTtl: "an hour.",
      "refreshTokenIdle, refreshTokenLife": "100 days, five years.",
      dead: "400 `invalid_grant`.",
      settings:
        "client id and secret in the Basic header. Every API address holds the id of the company that the person chose. Only the callback states it, in `realmId`. Revocation takes a JSON body and is left out."
    }
  },
  profile: {
    name: "quickbooks",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenIdle: Duration.days(100),
    refreshTokenLife: Duration.days(5 * 365),
    identifiedBy: ["realmId"]
  },
  apiHosts: ["quickbooks.api.intuit.com", "sandbox-quickbooks.api.intuit.com"],
  settings: {
    authorizationEndpoint: "https://appcenter.intuit.com/connect/oauth2",
    tokenEndpoint: "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    clientAuth: "basic",
    keptParameters: ["realmId"]
  }
})
