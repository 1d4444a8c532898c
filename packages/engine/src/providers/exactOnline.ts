/**
 * The profile of Exact Online.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Exact Online. */
export const exactOnline = Provider.make({
  about: {
    title: "Exact Online",
    checked: "2026-11-22",
    sources: [
      'Exact Online, "OAuth in Exact Online: refresh tokens"',
      'Invantive, "Exact Online error message: Old refresh token used"',
      "The trackers of picqer/exact-php-client (#300, #644) and websmurf/laravel-exact-online (#22) for the answers"
    ],
    facts: {
      rotation: "single use. Some apps may still use an old token; the cautious value is used.",
      accessTokenTtl: "ten minutes. `expires_in` comes as a string.",
      refreshTokenIdle: '30 days, the least of "30 to 180".',
      deadToken:
        '401 `unauthorized_client` with "Old refresh token used.", a code that otherwise blames the application; 400 `invalid_request` with "The refresh token expired at …".',
      transient: 'a request before the access token is about to expire is refused with "access_token not expired".',
      "margin, minimumAge": "a new token is issued only 9 min 30 s after the last one.",
      settings: "the endpoints of the Dutch site. Replace them for another country."
    }
  },
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
