/**
 * The profile of Spotify.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Spotify. */
export const spotify = Provider.make({
  about: {
    title: "Spotify",
    checked: "2026-11-22",
    sources: ['Spotify for Developers, "Refreshing tokens" and "Introducing refresh token expiration" (June 2026)'],
    facts: {
      rotation:
        "a new refresh token may be issued. Whether the old one still works is not documented; the cautious value is used.",
      accessTokenTtl: "an hour.",
      refreshTokenLife: "six months from consent; refreshing does not extend it.",
      dead: "`invalid_grant`.",
      settings: "client id and secret in the Basic header."
    }
  },
  profile: {
    name: "spotify",
    rotation: "single-use",
    accessTokenTtl: Duration.hours(1),
    refreshTokenLife: Duration.days(182)
  },
  apiHosts: ["api.spotify.com"],
  settings: {
    authorizationEndpoint: "https://accounts.spotify.com/authorize",
    tokenEndpoint: "https://accounts.spotify.com/api/token",
    clientAuth: "basic"
  }
})
