/**
 * The profile of Shopify, expiring offline tokens.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Shopify, expiring offline tokens.
 *
 * @param shop the first label of `<shop>.myshopify.com`. Throws if it is not a domain label.
 */
export const shopify = (shop: string): Provider.Provider => {
  const host = `${Provider.DomainLabel.make(shop)}.myshopify.com`
  return Provider.make({
    about: {
      title: "Shopify, expiring offline tokens",
      checked: "2026-11-22",
      sources: [
        'Shopify, "About offline access tokens" and the changelogs "Offline access tokens now support expiry and refresh" (10 December 2025) and "More resilient refreshes for expiring offline access tokens" (28 August 2026)'
      ],
      facts: {
        "rotation, reuseWindow":
          "the old refresh token is accepted until its successor is used, and at most 30 days after its own first use.",
        accessTokenTtl: "an hour. An answer without `expires_in` was reported on shopify-app-js' tracker.",
        refreshTokenIdle: "90 days.",
        dead: "not stated; assumed: `invalid_grant`.",
        settings: "`expiring=1` with the code gives an expiring token and a refresh token. Scopes are joined by commas."
      }
    },
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
