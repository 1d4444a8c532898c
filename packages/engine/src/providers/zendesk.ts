/**
 * The profile of Zendesk.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/**
 * Zendesk.
 *
 * @param subdomain the first label of `<subdomain>.zendesk.com`. Throws if it is not a domain label.
 */
export const zendesk = (subdomain: string): Provider.Provider => {
  const host = `${Provider.DomainLabel.make(subdomain)}.zendesk.com`
  const accessTokenTtl = Duration.hours(2)
  const refreshTokenIdle = Duration.days(30)
  return Provider.make({
    about: {
      title: "Zendesk",
      checked: "2026-11-22",
      sources: [
        'Zendesk Developer, "Working with OAuth refresh tokens", "OAuth Tokens for Grant Types", and the announcement of April 2025'
      ],
      facts: {
        rotation: "a refresh deletes the previous access and refresh tokens.",
        "accessTokenTtl, refreshTokenIdle":
          "what the client asks for in `expires_in` (5 minutes to 2 days; without it the token does not expire) and `refresh_token_expires_in` (7 to 90 days): here two hours and 30 days.",
        dead: "not stated; assumed: `invalid_grant`.",
        settings:
          "a form, as Nango sends it. The reference shows JSON, where the two lifetimes would have to be numbers."
      }
    },
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
