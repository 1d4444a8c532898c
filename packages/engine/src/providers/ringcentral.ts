/**
 * The profile of RingCentral.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** RingCentral. */
export const ringcentral = Provider.make({
  about: {
    title: "RingCentral",
    checked: "2026-11-22",
    sources: [
      `RingCentral Developers, "Using refresh tokens to generate new access tokens", and for the window the "RingCentral Token Refresh experiment" by its SDK's author`
    ],
    facts: {
      rotation: "each refresh token is used once.",
      reuseWindow:
        "60 minutes, in which the same answer is repeated. It shrinks to 10 seconds once the new access token is used, but a token whose answer was lost is never used.",
      accessTokenTtl: "an hour. The previous access token is invalid at once.",
      refreshTokenIdle: "seven days.",
      dead: "not stated; assumed: `invalid_grant`.",
      settings: 'client id and secret in the Basic header. The app itself must have "Issue refresh tokens" switched on.'
    }
  },
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
