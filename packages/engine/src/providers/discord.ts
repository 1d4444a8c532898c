/**
 * The profile of Discord.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Discord. */
export const discord = Provider.make({
  about: {
    title: "Discord",
    checked: "2026-11-22",
    sources: ['Discord Developer Documentation, "OAuth2" (authorization code grant, refresh and revocation examples)'],
    facts: {
      rotation: "single use.",
      accessTokenTtl: "seven days, 604800 s in the documented answers.",
      dead: "`invalid_grant`.",
      margin: "half a day, so that an outage can pass; our choice."
    }
  },
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
