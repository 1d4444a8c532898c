/**
 * The profile of Salesforce.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Salesforce.
 *
 * @param domain `login`, or `test` for sandboxes, or the org's My Domain label, with `.sandbox` or the like if it has one. Throws if it is
 *   not made of domain labels.
 */
export const salesforce = (domain = "login"): Provider.Provider => {
  const labels = Provider.DomainLabels.make(domain)
  const host = labels === "login" || labels === "test" ? `${labels}.salesforce.com` : `${labels}.my.salesforce.com`
  return Provider.make({
    about: {
      title: "Salesforce",
      checked: "2026-11-22",
      sources: [
        'Salesforce Help, "OAuth 2.0 Refresh Token Flow for Renewed Sessions", "Manage OAuth Access Policies for a Connected App", "Modify Session Security Settings"',
        `The release notes of Summer '24 ("Simultaneous Token Requests Are Blocked During the Refresh Token Flow") and Winter '25 (its error)`
      ],
      facts: {
        rotation: `off, or on with the previous token "automatically invalidated"; the app's owner chooses. The cautious value is used: on. If it is off, override \`rotation: "none"\`.`,
        accessTokenTtl:
          "the org's session timeout, two hours by default. The answer has no `expires_in`. Override it if the org's timeout is shorter.",
        "refreshTokenIdle, refreshTokenLife": "policies of the app and the org; none by default.",
        dead: '400 `invalid_grant`, "expired access/refresh token".',
        transient:
          '400 `invalid_grant`, "token request is already being processed", the answer to a second request with a refresh token while the first is in progress.',
        keptFields: "the address of the org's API.",
        offlineScope: 'no refresh token without `refresh_token` ("OAuth Tokens and Scopes").'
      }
    },
    profile: {
      name: "salesforce",
      rotation: "single-use",
      accessTokenTtl: Duration.hours(2),
      transient: [{ field: "error_description", contains: ["token request is already being processed"] }],
      keptFields: ["instance_url"]
    },
    apiHosts: ["{instance_url}"],
    settings: {
      authorizationEndpoint: `https://${host}/services/oauth2/authorize`,
      tokenEndpoint: `https://${host}/services/oauth2/token`,
      revocationEndpoint: `https://${host}/services/oauth2/revoke`,
      clientAuth: "post"
    },
    offlineScope: "refresh_token"
  })
}
