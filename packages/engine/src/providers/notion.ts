/**
 * The profile of Notion.
 *
 * @module
 */
import { Duration } from "effect"
import * as Provider from "./Provider.ts"

/** Notion. */
export const notion = Provider.make({
  about: {
    title: "Notion",
    checked: "2026-11-22",
    sources: ['Notion, "Refresh a token", "Create a token", "Authorization"'],
    facts: {
      rotation:
        "a new refresh token with every use; whether the old one still works is not documented; the cautious value is used.",
      accessTokenTtl:
        "not stated by the provider, and the answer has no `expires_in`; assumed: a day. Access tokens are reported to live long. A much shorter life would spend single-use tokens needlessly, each time at some risk. With no expiry, a lost answer would never be noticed.",
      "refreshTokenIdle, refreshTokenLife": "not stated; assumed: none.",
      dead: "`invalid_grant`.",
      keptFields: "the workspace that the tokens are for.",
      settings: "client id and secret in the Basic header, a JSON body, `owner=user`, and Notion's version header."
    }
  },
  profile: {
    name: "notion",
    rotation: "single-use",
    accessTokenTtl: Duration.days(1),
    keptFields: ["workspace_id"],
    identifiedBy: ["workspace_id"]
  },
  settings: {
    authorizationEndpoint: "https://api.notion.com/v1/oauth/authorize",
    tokenEndpoint: "https://api.notion.com/v1/oauth/token",
    revocationEndpoint: "https://api.notion.com/v1/oauth/revoke",
    clientAuth: "basic",
    tokenBody: "json",
    tokenHeaders: { "notion-version": "2022-06-28" },
    authorizationParameters: { owner: "user" }
  }
})
